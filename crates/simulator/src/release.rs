//! The Dragonfly releases the simulator can be.

/// Which release's behaviour is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// v1.34.0: four-element greeting, RDB-style partial sync, contiguous big values, `EXPIRED` records,
    /// DEL logged as the client sent it.
    V1_34,
    /// v1.40.1: five-element greeting with a lineage, journal-style partial sync, tagged chunks, writes
    /// omitted from the journal while their bucket was not sent yet.
    #[default]
    V1_40,
}

impl Release {
    /// The string in `INFO server` and in the `df-ver` aux field.
    pub fn version(self) -> &'static str {
        match self {
            Release::V1_34 => "df-v1.34.0",
            Release::V1_40 => "df-v1.40.1",
        }
    }

    /// The ordinal in the reply to `REPLCONF capa dragonfly` (v1.34.0: 4, v1.40.1: 5; both from captures).
    pub fn ordinal(self) -> i64 {
        match self {
            Release::V1_34 => 4,
            Release::V1_40 => 5,
        }
    }
}
