//! What is wrong with a configuration, and what is merely odd.

use std::fmt;

/// One thing that keeps a configuration from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where in the configuration, for example `target.tls.ca_file`; empty when it is about the whole file.
    pub path: String,
    /// Line in the file, counted from 1, where one is known.
    pub line: Option<usize>,
    /// What is wrong. Never contains a secret.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Everything that keeps a configuration from being used, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file as it was named, or `command line`.
    pub file: String,
    /// At least one problem.
    pub problems: Vec<Problem>,
}

/// One line per problem: `FILE:LINE: path: message (hint)`.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file)?;
            if let Some(line) = problem.line {
                write!(f, "{line}:")?;
            }
            if !problem.path.is_empty() {
                write!(f, " {}:", problem.path)?;
            }
            write!(f, " {}", problem.message)?;
            if let Some(hint) = &problem.hint {
                write!(f, " ({hint})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Something in a configuration that has no effect any more, or may surprise. The configuration is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where in the configuration.
    pub path: String,
    /// Line in the file, counted from 1, where one is known.
    pub line: Option<usize>,
    /// What the operator should know.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}
