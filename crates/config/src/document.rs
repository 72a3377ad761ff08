//! A YAML text as a tree whose every node can say its line.
//!
//! The parser reports a position only with an error. So the line of a node is found by walking to it a second time and
//! failing there on purpose: no second grammar that could disagree with the parser's. Only messages pay for it.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::Problem;

/// One value of the document.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The way to it from the top: at each step the number of the entry in its map or list.
    pub(crate) at: Vec<usize>,
    pub(crate) content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Null,
    /// As it is written, quotes removed: `0123` stays `0123`, `true` stays `true`.
    Scalar(String),
    List(Vec<Node>),
    /// In the order of the file; a key may stand there twice.
    Map(Vec<(String, Node)>),
}

#[derive(Debug)]
pub(crate) struct Document<'t> {
    text: &'t str,
    pub(crate) root: Node,
}

impl<'t> Document<'t> {
    /// # Errors
    /// Not YAML, or YAML with tags or several documents, which no configuration needs.
    pub(crate) fn parse(text: &'t str) -> Result<Document<'t>, Problem> {
        match (Tree { at: Vec::new() }).deserialize(serde_yaml::Deserializer::from_str(text)) {
            Ok(root) => {
                let mut document = Document { text, root: Node { at: Vec::new(), content: Content::Null } };
                document.root = document.with_written_text(root);
                Ok(document)
            }
            Err(error) => Err(Problem {
                path: String::new(),
                line: error.location().map(|l| l.line()),
                message: format!("not valid YAML: {error}"),
                hint: None,
            }),
        }
    }

    /// Line of the entry at this place, counted from 1: where its key stands, or the list element begins.
    pub(crate) fn line(&self, at: &[usize]) -> Option<usize> {
        let error = self.walk(at, Want::Line).err()?;
        error.location().map(|location| location.line())
    }

    /// Numbers and booleans arrive typed; puts the text the operator wrote in their place.
    fn with_written_text(&self, mut node: Node) -> Node {
        node.content = match node.content {
            Content::Scalar(parsed) => {
                Content::Scalar(self.walk(&node.at, Want::Text).ok().flatten().unwrap_or(parsed))
            }
            Content::List(nodes) => {
                Content::List(nodes.into_iter().map(|n| self.with_written_text(n)).collect())
            }
            Content::Map(entries) => {
                Content::Map(entries.into_iter().map(|(k, n)| (k, self.with_written_text(n))).collect())
            }
            Content::Null => Content::Null,
        };
        node
    }

    fn walk(&self, at: &[usize], want: Want) -> Result<Option<String>, serde_yaml::Error> {
        Walk { at, want }.deserialize(serde_yaml::Deserializer::from_str(self.text))
    }
}

/// Builds the tree.
struct Tree {
    at: Vec<usize>,
}

impl Tree {
    fn child(&self, index: usize) -> Tree {
        let mut at = self.at.clone();
        at.push(index);
        Tree { at }
    }

    fn node(self, content: Content) -> Node {
        Node { at: self.at, content }
    }
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(self.node(Content::Null))
    }

    fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
        Ok(self.node(Content::Scalar(v.to_string())))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
        Ok(self.node(Content::Scalar(v.to_string())))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Node, E> {
        Ok(self.node(Content::Scalar(v.to_string())))
    }

    fn visit_i128<E>(self, v: i128) -> Result<Node, E> {
        Ok(self.node(Content::Scalar(v.to_string())))
    }

    fn visit_u128<E>(self, v: u128) -> Result<Node, E> {
        Ok(self.node(Content::Scalar(v.to_string())))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Node, E> {
        Ok(self.node(Content::Scalar(v.to_string())))
    }

    fn visit_str<E>(self, v: &str) -> Result<Node, E> {
        Ok(self.node(Content::Scalar(v.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(self.child(nodes.len()))? {
            nodes.push(node);
        }
        Ok(self.node(Content::List(nodes)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Text)? {
            let node = map.next_value_seed(self.child(entries.len()))?;
            entries.push((key, node));
        }
        Ok(self.node(Content::Map(entries)))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(A::Error::custom("tags (!name) are not supported"))
    }
}

/// A scalar as it is written.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain key")
    }

    fn visit_str<E>(self, v: &str) -> Result<String, E> {
        Ok(v.to_owned())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Want {
    /// Fail at the place, so that the error carries its position.
    Line,
    /// The written text of the scalar at the place.
    Text,
}

/// Walks to one place.
struct Walk<'p> {
    at: &'p [usize],
    want: Want,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        match self.at {
            [] if self.want == Want::Text => Text.deserialize(deserializer).map(Some),
            [] => IgnoredAny::deserialize(deserializer).map(|IgnoredAny| None),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same tree as before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<String>, A::Error> {
        let (step, rest) = self.step();
        for _ in 0..step {
            list.next_element::<IgnoredAny>()?;
        }
        if rest.is_empty() && self.want == Want::Line {
            list.next_element_seed(Stop)?;
        }
        let found = list.next_element_seed(Walk { at: rest, want: self.want })?.flatten();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
        let (step, rest) = self.step();
        for _ in 0..step {
            map.next_entry::<IgnoredAny, IgnoredAny>()?;
        }
        if rest.is_empty() && self.want == Want::Line {
            map.next_key_seed(Stop)?;
        }
        let found = match map.next_key::<IgnoredAny>()? {
            Some(_) => map.next_value_seed(Walk { at: rest, want: self.want })?,
            None => None,
        };
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

impl<'p> Walk<'p> {
    fn step(&self) -> (usize, &'p [usize]) {
        self.at.split_first().map_or((0, &[][..]), |(step, rest)| (*step, rest))
    }
}

/// Fails on whatever comes.
struct Stop;

impl<'de> DeserializeSeed<'de> for Stop {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Stop {
    type Value = ();

    // Every `visit_` method that is not overridden fails, with the position of what it was offered.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}
