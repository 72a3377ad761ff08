//! Sorts a document's entries by the setting they belong to and collects what is wrong on the way.

use std::collections::BTreeMap;

use crate::document::{Content, Document, Node};
use crate::keys::{self, Meaning};
use crate::{Problem, Warning};

/// Where a value stands: what a message about it names.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The path as the operator wrote it.
    pub(crate) path: String,
    at: Vec<usize>,
}

impl Place {
    /// A place below this one.
    pub(crate) fn below(&self, name: &str, node: &Node) -> Place {
        Place { path: format!("{}.{name}", self.path), at: node.at.clone() }
    }
}

/// One setting that is given.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// A scalar setting that is given.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) place: Place,
    pub(crate) text: String,
}

pub(crate) struct Reader<'d> {
    document: &'d Document<'d>,
    found: BTreeMap<&'static str, Found>,
    sections: BTreeMap<String, Place>,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl<'d> Reader<'d> {
    pub(crate) fn new(document: &'d Document<'d>) -> Reader<'d> {
        let mut reader = Reader {
            document,
            found: BTreeMap::new(),
            sections: BTreeMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        // The caller refuses a root that is no map.
        if let Content::Map(entries) = &document.root.content {
            reader.section("", entries);
        }
        reader
    }

    fn section(&mut self, section: &str, entries: &[(String, Node)]) {
        let mut seen: BTreeMap<&str, &Node> = BTreeMap::new();
        for (key, node) in entries {
            let path = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            let place = Place { path: path.clone(), at: node.at.clone() };
            if let Some(first) = seen.insert(key, node) {
                let line = self.document.line(&first.at).unwrap_or(0);
                self.problem(&place, format!("given twice, first in line {line}"), Some("remove one"));
                continue;
            }
            match keys::meaning(&path) {
                Some((canonical, Meaning::Setting)) => self.setting(canonical, place, node),
                Some((_, Meaning::Alias(canonical))) => self.setting(canonical, place, node),
                Some((_, Meaning::Retired(why))) => self.warn(&place, why),
                None if keys::is_section(&path) => match &node.content {
                    Content::Map(below) => {
                        self.sections.insert(path.clone(), place);
                        self.section(&path, below);
                    }
                    Content::Null => {}
                    Content::Scalar(_) | Content::List(_) => {
                        self.problem(
                            &place,
                            "is a section".into(),
                            Some("write its keys below it, indented"),
                        );
                    }
                },
                None => {
                    let hint = format!("the nearest known key is {}", keys::nearest(&path));
                    self.problem(&place, "unknown key".into(), Some(&hint));
                }
            }
        }
    }

    fn setting(&mut self, canonical: &'static str, place: Place, node: &Node) {
        // `key:` without a value is the same as no key.
        if matches!(node.content, Content::Null) {
            return;
        }
        match self.found.get(canonical) {
            Some(first) => {
                let line = self.document.line(&first.place.at).unwrap_or(0);
                let message = format!("the same setting as {} in line {line}", first.place.path);
                self.problem(&place, message, Some("remove one"));
            }
            None => {
                self.found.insert(canonical, Found { place, node: node.clone() });
            }
        }
    }

    /// The setting, if it is given.
    pub(crate) fn get(&self, canonical: &str) -> Option<Found> {
        self.found.get(canonical).cloned()
    }

    /// The setting, if it is given and a scalar.
    pub(crate) fn scalar(&mut self, canonical: &str) -> Option<Scalar> {
        let found = self.get(canonical)?;
        self.as_scalar(found.place, &found.node)
    }

    /// The scalar at a place; anything else is a problem. Null is nothing.
    pub(crate) fn as_scalar(&mut self, place: Place, node: &Node) -> Option<Scalar> {
        match &node.content {
            Content::Scalar(text) => Some(Scalar { place, text: text.clone() }),
            Content::Null => None,
            Content::List(_) | Content::Map(_) => {
                self.problem(&place, "expected a single value".into(), None);
                None
            }
        }
    }

    /// One of a few words. Anything else is a problem that names them.
    pub(crate) fn word<T: Copy>(&mut self, canonical: &str, what: &str, words: &[(&str, T)]) -> Option<T> {
        let scalar = self.scalar(canonical)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&scalar.text)) {
            return Some(*value);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint =
            format!("the nearest is {}; one of {}", keys::nearest_of(&scalar.text, &known), known.join(", "));
        self.problem(&scalar.place, format!("unknown {what} \"{}\"", printable(&scalar.text)), Some(&hint));
        None
    }

    /// A value parsed by `parse`, whose error is the message.
    pub(crate) fn parsed<T>(
        &mut self,
        canonical: &str,
        hint: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let scalar = self.scalar(canonical)?;
        match parse(scalar.text.trim()) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(&scalar.place, message, Some(hint));
                None
            }
        }
    }

    /// Records a problem at a place.
    pub(crate) fn problem(&mut self, place: &Place, message: String, hint: Option<&str>) {
        let line = self.document.line(&place.at);
        let path = place.path.clone();
        self.problems.push(Problem { path, line, message, hint: hint.map(str::to_owned) });
    }

    /// Records that a required setting is missing, at the line of its section if there is one.
    pub(crate) fn missing(&mut self, canonical: &str, hint: &str) {
        self.problem_beside(canonical, "required key missing".to_owned(), hint);
    }

    /// Records a problem with a setting that the file does not have, at the line of its section if there is one.
    pub(crate) fn problem_beside(&mut self, canonical: &str, message: String, hint: &str) {
        let section = canonical.split('.').next().unwrap_or_default();
        let line = self.sections.get(section).and_then(|place| self.document.line(&place.at));
        self.problems.push(Problem {
            path: canonical.to_owned(),
            line,
            message,
            hint: Some(hint.to_owned()),
        });
    }

    /// Records a warning at a place.
    pub(crate) fn warn(&mut self, place: &Place, message: &str) {
        let line = self.document.line(&place.at);
        self.warnings.push(Warning { path: place.path.clone(), line, message: message.to_owned() });
    }

    /// Everything collected, problems in the order of the file.
    pub(crate) fn finish(mut self) -> (Vec<Problem>, Vec<Warning>) {
        self.problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        (self.problems, self.warnings)
    }
}

/// A value as it may be shown in a message of one line.
pub(crate) fn printable(text: &str) -> String {
    let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 { format!("{shown}...") } else { shown }
}
