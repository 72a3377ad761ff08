//! Log lines on stderr, which they share with the progress bar, and in a file.

mod file;

use std::io::{self, IsTerminal, Write};

use config::{Level, LogFormat, Logging};
use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::failure::Failure;
use file::LogFile;

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

/// What all layers stand on: the level counts for stderr and file alike.
type Base = Layered<reload::Layer<Targets, Registry>, Registry>;

/// stderr with bars at its lower edge, if it is a terminal, and the log file, if there is one.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    /// The bars; hidden where stderr is no terminal.
    pub(crate) bars: MultiProgress,
    /// Whether bars are shown.
    pub(crate) shows_bars: bool,
    file: Option<LogFile>,
    level: reload::Handle<Targets, Registry>,
}

impl Terminal {
    /// Changes the least important level that is shown.
    pub(crate) fn set_level(&self, level: Level) -> Result<(), reload::Error> {
        self.level.reload(filter(level))
    }

    /// Opens the log file anew: somebody may have moved it away.
    ///
    /// # Errors
    /// The system's; the old file is written to then.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), LogFile::reopen)
    }

    /// Puts the last words of a run into the log file as well; on stderr they are anyway.
    pub(crate) fn last_words(&self, text: &str) {
        if let Some(file) = &self.file {
            file.line(format!("{text}\n").as_bytes(), true);
        }
    }
}

/// Sets up logging for the rest of the process. `task` stands in every line.
///
/// # Errors
/// The log file cannot be opened.
pub(crate) fn init(logging: &Logging, task: Option<&str>) -> Result<Terminal, Failure> {
    let file = match &logging.file {
        None => None,
        Some(path) => Some(LogFile::open(path).map_err(|error| {
            let path = path.display();
            Failure::usage(format!("logging.file: {path}: {error}; name a file that this user may write"))
        })?),
    };
    let tty = io::stderr().is_terminal();
    let shows_bars = tty && logging.console && logging.format == LogFormat::Text;
    let target = if shows_bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let (filter, level) = reload::Layer::new(filter(logging.level));
    let bars = MultiProgress::with_draw_target(target);
    let terminal = Terminal { bars, shows_bars, file: file.clone(), level };
    let writer = |to| Writer { to, task: Task::new(task, logging.format) };
    let mut layers: Vec<Box<dyn Layer<Base> + Send + Sync>> = Vec::new();
    if logging.console {
        layers.push(layer(logging.format, tty, writer(To::Terminal(terminal.clone()))));
    }
    if let Some(file) = file {
        layers.push(layer(logging.format, false, writer(To::File(file, logging.console))));
    }
    tracing_subscriber::registry().with(filter).with(layers).init();
    Ok(terminal)
}

fn layer(format: LogFormat, ansi: bool, writer: Writer) -> Box<dyn Layer<Base> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => layer.with_target(false).with_ansi(ansi).boxed(),
        // Without the module: its field is called `target`, as one of ours may be.
        LogFormat::Json => layer.json().flatten_event(true).with_target(false).boxed(),
    }
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

/// Where the lines of one layer go.
#[derive(Debug, Clone)]
enum To {
    Terminal(Terminal),
    /// A file, and whether stderr has the lines as well.
    File(LogFile, bool),
}

/// How a task's name gets into a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    None,
    /// At the end of a line of text.
    Text(String),
    /// As the first field of an object.
    Json(String),
}

impl Task {
    /// Names have nothing in them that would have to be escaped.
    fn new(name: Option<&str>, format: LogFormat) -> Task {
        match (name, format) {
            (None, _) => Task::None,
            (Some(name), LogFormat::Text) => Task::Text(format!(" task={name}\n")),
            (Some(name), LogFormat::Json) => Task::Json(format!("{{\"task\":\"{name}\",")),
        }
    }

    /// The line with the name in it.
    fn put_into(&self, line: &[u8]) -> Option<Vec<u8>> {
        match self {
            Task::None => None,
            Task::Text(end) => Some([line.strip_suffix(b"\n")?, end.as_bytes()].concat()),
            Task::Json(begin) => Some([begin.as_bytes(), line.strip_prefix(b"{")?].concat()),
        }
    }
}

#[derive(Debug, Clone)]
struct Writer {
    to: To,
    task: Task,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { writer: self }
    }
}

/// Writes one event: the formatter hands it over in one piece.
#[derive(Debug)]
struct Line<'a> {
    writer: &'a Writer,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let named = self.writer.task.put_into(bytes);
        let line = named.as_deref().unwrap_or(bytes);
        match &self.writer.to {
            To::Terminal(terminal) => {
                let write = || io::stderr().lock().write_all(line);
                if terminal.shows_bars { terminal.bars.suspend(write)? } else { write()? }
            }
            To::File(file, also_on_stderr) => file.line(line, *also_on_stderr),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_stands_in_every_line() {
        let text = Task::new(Some("orders"), LogFormat::Text);
        assert_eq!(text.put_into(b"12:00 INFO phase\n").unwrap(), b"12:00 INFO phase task=orders\n");
        let json = Task::new(Some("orders"), LogFormat::Json);
        assert_eq!(
            json.put_into(b"{\"level\":\"INFO\"}\n").unwrap(),
            b"{\"task\":\"orders\",\"level\":\"INFO\"}\n"
        );
        assert_eq!(Task::new(None, LogFormat::Json).put_into(b"{}\n"), None);
    }
}
