//! Log lines on stderr, which they share with the progress bar.

use std::io::{self, IsTerminal, Write};

use config::{Level, LogFormat, Logging};
use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Our own crates; of everybody else only warnings are shown.
const ROOMS: [&str; 16] = [
    "df2redis",
    "check",
    "checkpoint",
    "command",
    "config",
    "dashboard",
    "flow",
    "handshake",
    "journal",
    "rdb",
    "repair",
    "replica",
    "resp",
    "router",
    "simulator",
    "spool",
];

/// stderr with bars at its lower edge, if it is a terminal.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    /// The bars; hidden where stderr is no terminal.
    pub(crate) bars: MultiProgress,
    /// Whether bars are shown.
    pub(crate) shows_bars: bool,
    level: reload::Handle<Targets, Registry>,
}

impl Terminal {
    /// Changes the least important level that is shown.
    pub(crate) fn set_level(&self, level: Level) -> Result<(), reload::Error> {
        self.level.reload(filter(level))
    }
}

/// Sets up logging for the rest of the process.
pub(crate) fn init(logging: &Logging) -> Terminal {
    let tty = io::stderr().is_terminal();
    let shows_bars = tty && logging.format == LogFormat::Text;
    let target = if shows_bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let (filter, level) = reload::Layer::new(filter(logging.level));
    let terminal = Terminal { bars: MultiProgress::with_draw_target(target), shows_bars, level };
    let layer = tracing_subscriber::fmt::layer().with_writer(terminal.clone());
    let layer = match logging.format {
        LogFormat::Text => layer.with_target(false).with_ansi(tty).boxed(),
        // Without the module: its field is called `target`, as one of ours may be.
        LogFormat::Json => layer.json().flatten_event(true).with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    terminal
}

fn filter(level: Level) -> Targets {
    let level = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    let others = level.min(LevelFilter::WARN);
    Targets::new().with_default(others).with_targets(ROOMS.map(|room| (room, level)))
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { terminal: self.clone() }
    }
}

/// Writes one event: the formatter hands it over in one piece.
#[derive(Debug)]
pub(crate) struct Line {
    terminal: Terminal,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().lock().write_all(bytes);
        if self.terminal.shows_bars {
            self.terminal.bars.suspend(write)?
        } else {
            write()?
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
