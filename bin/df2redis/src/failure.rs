//! How a run ends that does not go well: an exit code, and lines that say what, where, and what to do.

use std::process::ExitCode;

use replica::Exit;

/// The end of the program.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    /// Wrong arguments or configuration: 64.
    pub(crate) fn usage(line: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, line)
    }

    /// Something failed at run time: 1.
    pub(crate) fn failed(line: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, line)
    }

    fn new(exit: Exit, line: impl Into<String>) -> Failure {
        // What a server or the system said may have line ends in it; the operator's tools read one line.
        let line = line.into().split_whitespace().collect::<Vec<_>>().join(" ");
        Failure { exit, text: format!("df2redis: {line}") }
    }

    /// The lines.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Writes the lines to stderr.
    pub(crate) fn tell(self) -> ExitCode {
        eprintln!("{}", self.text);
        ExitCode::from(match self.exit {
            Exit::Failed => 1,
            Exit::Usage => 64,
            Exit::Temporary => 75,
        })
    }
}

/// One line per problem, each beginning with the file's name and line.
impl From<config::Problems> for Failure {
    fn from(problems: config::Problems) -> Failure {
        Failure { exit: Exit::Usage, text: problems.to_string() }
    }
}

impl From<replica::Error> for Failure {
    fn from(error: replica::Error) -> Failure {
        Failure::new(error.exit(), error.to_string())
    }
}

impl From<::check::Error> for Failure {
    fn from(error: ::check::Error) -> Failure {
        let exit = match error.class() {
            resp::Class::Retry => Exit::Temporary,
            resp::Class::Mismatch => Exit::Usage,
            resp::Class::AskOperator | resp::Class::Bug => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}

impl From<checkpoint::Error> for Failure {
    fn from(error: checkpoint::Error) -> Failure {
        Failure::failed(error.to_string())
    }
}

impl From<dashboard::Error> for Failure {
    fn from(error: dashboard::Error) -> Failure {
        Failure::failed(error.to_string())
    }
}
