//! What becomes of values that the target cannot hold as they are.

/// What becomes of JSON documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum JsonAs {
    /// A document of the target's JSON module. Without one it is [`crate::Treatment::Lacking`].
    #[default]
    Module,
    /// A string that holds the text. A record that changes a part of a document leads to reading the whole.
    Text,
    /// Nothing: [`crate::Treatment::Lacking`].
    Nothing,
}
