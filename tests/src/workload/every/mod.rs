//! Every write command with every option, drawn from a seed.
//!
//! A command is written down as a template (`templates`) in which `<k>` stands for something drawn and `[a|b|]` for one of
//! several alternatives; so the list of templates is the list of what is tried. A seed has its own names: many of them run
//! one after the other against the same servers and are compared together.

mod draw;
mod template;
mod templates;

pub use templates::{NOT_DRAWN, commands};

use draw::Draw;
use template::Template;

/// Name and arguments.
pub type Command = Vec<Vec<u8>>;

/// One seed in so many has a value of 16 MiB.
const HUGE_EVERY: u64 = 10;

/// The step in which it comes.
const HUGE_AT: u64 = 150;

/// Databases that are written to.
pub const DATABASES: u32 = 3;

/// Runs the commands it is given, as a transaction would, and goes on where one fails. `ARGV`: for each command the number
/// of its words, then the words.
const SCRIPT: &str =
    "local i=1 while i<=#ARGV do local n=tonumber(ARGV[i]) redis.pcall(unpack(ARGV,i+1,i+n)) i=i+n+1 end";

/// What is sent in one go.
#[derive(Debug, Clone)]
pub struct Step {
    /// Database.
    pub db: u32,
    /// One command, or a transaction from `MULTI` to `EXEC`.
    pub commands: Vec<Command>,
}

/// Draws steps from a seed.
#[derive(Debug)]
pub struct Everything {
    draw: Draw,
    templates: Vec<Template>,
    /// The other half of the commands, so that there is something for them to work on.
    creating: Vec<Template>,
    /// The one with the largest value, and the number of steps until it comes.
    huge: Option<(u64, Template)>,
}

impl Everything {
    /// The same seed gives the same steps (but for moments in time, which count from the start of the process).
    pub fn new(seed: u64) -> Self {
        let parse = |list: &[&str]| list.iter().map(|text| Template::parse(text)).collect();
        let huge = seed.is_multiple_of(HUGE_EVERY).then(|| {
            let at = (seed / HUGE_EVERY) as usize % templates::HUGE.len();
            (HUGE_AT, Template::parse(templates::HUGE[at]))
        });
        Everything {
            huge,
            draw: Draw::new(seed),
            templates: parse(templates::EVERY),
            creating: parse(templates::CREATING),
        }
    }

    /// What all names of this seed contain.
    pub fn tag(seed: u64) -> String {
        format!("w{seed}:")
    }

    /// The next step.
    pub fn step(&mut self) -> Step {
        if let Some((left, template)) = &mut self.huge {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => {
                    let commands = vec![template.fill(&mut self.draw)];
                    self.huge = None;
                    return Step { db: 0, commands };
                }
            }
        }
        let db = if self.draw.rng.chance(60) { 0 } else { self.draw.rng.below(u64::from(DATABASES)) as u32 };
        let commands = match self.draw.rng.below(100) {
            0..=6 => {
                let mut commands = vec![vec![b"MULTI".to_vec()]];
                for _ in 0..2 + self.draw.rng.below(4) {
                    commands.push(self.command());
                }
                commands.push(vec![b"EXEC".to_vec()]);
                commands
            }
            7..=11 => vec![self.script()],
            _ => vec![self.command()],
        };
        Step { db, commands }
    }

    fn command(&mut self) -> Command {
        let creating = self.draw.rng.chance(35);
        let templates = if creating { &self.creating } else { &self.templates };
        let at = self.draw.rng.below(templates.len() as u64) as usize;
        templates[at].fill(&mut self.draw)
    }

    /// Some commands from Lua, which has to say before which keys it will use.
    fn script(&mut self) -> Command {
        let mut words = Vec::new();
        self.draw.keys.clear();
        for _ in 0..1 + self.draw.rng.below(3) {
            let command = self.command();
            if templates::hides_in_scripts(&command) {
                continue;
            }
            words.push(command.len().to_string().into_bytes());
            words.extend(command);
        }
        let mut keys = std::mem::take(&mut self.draw.keys);
        keys.sort();
        keys.dedup();
        let mut eval = vec![b"EVAL".to_vec(), SCRIPT.into(), keys.len().to_string().into_bytes()];
        eval.extend(keys);
        eval.extend(words);
        eval
    }
}

#[cfg(test)]
mod tests;
