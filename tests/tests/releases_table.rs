//! docs/releases.md, and the client's knowledge of releases against the simulator's table.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::Path;

use handshake::ResumeStyle;
use simulator::{Failover, Release, Resume};

/// What the client makes of the version that a master of this class tells; nothing of a build without a number.
fn told(release: Release) -> Option<handshake::Release> {
    handshake::Release::parse(release.version())
}

/// The simulator's table and the client's rules were written down one by one from the sources of Dragonfly.
#[test]
fn the_client_knows_of_every_release_what_the_simulator_plays() {
    for &release in Release::ALL {
        let profile = release.profile();
        let style = match profile.resume {
            Resume::Refused | Resume::Full => ResumeStyle::None,
            Resume::Blobs => ResumeStyle::Rdb,
            Resume::Records | Resume::RecordsOnly => ResumeStyle::Journal,
        };
        let Some(known) = told(release) else {
            assert_eq!((release, style), (Release::Main, ResumeStyle::Journal), "like the newest");
            continue;
        };
        assert_eq!(known.is_supported(), release >= Release::V1_11, "{release:?}");
        assert_eq!(known.resume_style(), style, "{release:?}");
        assert_eq!(known.default_backlog(), Some(profile.backlog as u64), "{release:?}");
        assert_eq!(known.continues_after_takeover(), profile.failover == Failover::Continues, "{release:?}");
        // Where the release is not told, the guess must not damage the master: SYNC behind PARTIAL is forbidden.
        let guess =
            ResumeStyle::from_ordinal(u32::try_from(profile.ordinal).ok().filter(|_| profile.greeting > 3));
        let harmful = profile.resume == Resume::Records && guess == ResumeStyle::Rdb;
        assert!(!harmful, "{release:?}: {guess:?}");
    }
}

fn table() -> String {
    let mut text = String::from("| Releases | After a break | Kept | Takeover |\n|---|---|---|---|\n");
    for &release in Release::ALL {
        let known = told(release);
        if known.is_some_and(|known| !known.is_supported()) {
            let _ = writeln!(text, "| {} | refused | – | – |", release.releases());
            continue;
        }
        let style = known.map_or(ResumeStyle::Journal, handshake::Release::resume_style);
        let kept = known.and_then(handshake::Release::default_backlog);
        let after = match (style, kept) {
            (ResumeStyle::None, _) => "full sync",
            (_, Some(0)) => "partial if nothing was written",
            _ => "partial",
        };
        let kept = match (kept, release.profile().backlog_ms) {
            (Some(0), _) => "none".to_owned(),
            (Some(records), _) => format!("{records}"),
            (None, Some(ms)) => format!("{} s", ms / 1_000),
            (None, None) => "unknown".to_owned(),
        };
        let takeover = known.is_none_or(handshake::Release::continues_after_takeover);
        let takeover = if takeover { "partial" } else { "full sync" };
        let _ = writeln!(text, "| {} | {after} | {kept} | {takeover} |", release.releases());
    }
    text
}

#[test]
fn the_guide_has_the_table_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/releases.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (begin, end) = ("<!-- the table begins -->\n", "<!-- the table ends -->\n");
    let (head, rest) = text.split_once(begin).unwrap();
    let (found, tail) = rest.split_once(end).unwrap();
    let made = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, format!("{head}{begin}{made}{end}{tail}")).unwrap();
        return;
    }
    assert_eq!(found, made, "docs/releases.md: UPDATE_DOCS=1 cargo test -p scenarios --test releases_table");
}
