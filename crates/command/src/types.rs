//! What becomes of values that the target cannot hold as they are.

/// What becomes of the expiry of single members and fields, where the target does not expire them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum MemberTtlAs {
    /// Nothing: [`crate::Treatment::Reduced`], or [`crate::Treatment::Lacking`] where it is all that a record says.
    #[default]
    Nothing,
    /// Somebody removes them in time: [`crate::Treatment::Expiring`] tells when.
    Scheduled,
}

/// [`MemberTtlAs`] of sets and of hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct MemberTtls {
    /// Members of sets.
    pub sets: MemberTtlAs,
    /// Fields of hashes, on targets without `HPEXPIREAT`.
    pub fields: MemberTtlAs,
    /// How long (ms) after their expiry scheduled members are still written: whether they have expired is for the source
    /// to tell, whose clock may be behind.
    pub grace_ms: u64,
}

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
