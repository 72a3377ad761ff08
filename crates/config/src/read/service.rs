//! What a run is called and where it tells what it does.

use std::path::{Path, PathBuf};

use crate::reader::{Reader, Scalar, printable};
use crate::{Level, LogFormat, Logging, Problem};

/// Most characters of a task's name: it goes into the name of every connection.
const LONGEST_NAME: usize = 64;

pub(crate) fn task_name(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.scalar("task_name").filter(|name| !name.text.is_empty())?;
    match check_name(&name.text) {
        Ok(()) => Some(name.text),
        Err(message) => {
            reader.problem(&name.place, message, Some(NAME_HINT));
            None
        }
    }
}

/// Whether a task can be called so.
///
/// # Errors
/// A problem with the path `task_name` that says why not.
pub fn check_task_name(name: &str) -> Result<(), Problem> {
    check_name(name).map_err(|message| Problem {
        path: "task_name".into(),
        line: None,
        message,
        hint: Some(NAME_HINT.into()),
    })
}

const NAME_HINT: &str = "write letters, digits and . _ : - only, at most 64";

fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    match name.chars().count() {
        0 => Err("the name is empty".into()),
        count if count > LONGEST_NAME => Err(format!("{count} characters are too many for a name")),
        _ if !name.chars().all(plain) => Err(format!("not a name: \"{}\"", printable(name))),
        _ => Ok(()),
    }
}

pub(crate) fn status_file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let file = reader.scalar("status_file").filter(|file| !file.text.is_empty())?;
    let path = PathBuf::from(&file.text);
    if file.text.ends_with('/') || path.is_dir() {
        let message = format!("{} is a directory", path.display());
        reader.problem(&file.place, message, Some("name a file in it, for example status.json"));
        return None;
    }
    Some(path)
}

/// `task`: what the log file is called where only its directory is given.
pub(crate) fn logging(reader: &mut Reader<'_>, task: Option<&str>) -> Logging {
    let levels = [
        ("trace", Level::Trace),
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let default = Logging::default();
    let level = reader.word("logging.level", "level", &levels).unwrap_or(default.level);
    let format = reader.word("logging.format", "format", &formats).unwrap_or(default.format);
    let given = reader.scalar("logging.file").filter(|file| !file.text.is_empty());
    let file = given.and_then(|given| file(reader, given, task));
    let switch =
        [("true", true), ("on", true), ("yes", true), ("false", false), ("off", false), ("no", false)];
    let console = reader.word("logging.console", "switch", &switch).unwrap_or(true);
    if !console
        && file.is_none()
        && let Some(found) = reader.get("logging.console")
    {
        reader.warn(&found.place, "has no effect without logging.file: logs go to stderr");
    }
    Logging { level, format, console: console || file.is_none(), file }
}

/// A file, or a file in a directory. The earlier tools' `log.dir` is always a directory.
fn file(reader: &mut Reader<'_>, given: Scalar, task: Option<&str>) -> Option<PathBuf> {
    let mut path = PathBuf::from(&given.text);
    if given.text.ends_with('/') || given.place.path == "log.dir" || path.is_dir() {
        path.push(format!("{}.log", task.unwrap_or("df2redis")));
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrong = match dir.metadata() {
        Ok(found) if found.is_dir() => return Some(path),
        Ok(_) => format!("{} is not a directory", dir.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("the directory {} does not exist", dir.display())
        }
        Err(error) => format!("the directory {}: {error}", dir.display()),
    };
    reader.problem(&given.place, wrong, Some("make it, or log to stderr only"));
    None
}
