//! Which of the configured sources is attached to.
//!
//! With one address it is the server that answers there. With several it is the one whose records we have: after a takeover
//! the old master may be back under its supervisor, empty, and it is a master like the other one.

use std::time::Duration;

use flow::{Answer, AttachError, FullReason, Parting, Resume};
use resp::Class;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use super::{Attached, Replica};
use crate::error::Error;
use crate::phase::Phase;
use crate::settings::Settings;
use crate::source::SourceSide;

/// How long a master with another replication id has to be the only one, before it is taken with a full sync.
pub(crate) const ALONE: Duration = Duration::from_secs(15);

/// What an attachment goes on from.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// The LSNs that are asked for.
    pub(super) resume: Option<&'a Resume>,
    /// How the last attachment of this process ended.
    pub(super) parting: Option<&'a Parting>,
    /// The source's LSNs are wanted from before (repair rule 7).
    pub(super) ask: bool,
    /// The replication id that is stored.
    pub(super) known: Option<String>,
}

/// What is to be done about the masters that answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// None does.
    Nobody,
    /// This one is the stored one, or the only one and nothing is stored.
    This(usize),
    /// A single one, of which nothing is known.
    Stranger(usize),
    /// Several, of which nothing is known.
    Strangers,
}

/// Chooses among the replication ids of the masters, by the one that is stored.
pub(crate) fn choose(masters: &[&str], known: Option<&str>) -> Choice {
    let stored = known.and_then(|known| masters.iter().position(|id| *id == known));
    match (stored, known, masters) {
        (Some(index), ..) => Choice::This(index),
        (None, _, []) => Choice::Nobody,
        (None, None, [_]) => Choice::This(0),
        (None, Some(_), [_]) => Choice::Stranger(0),
        (None, ..) => Choice::Strangers,
    }
}

/// A master at one of the addresses.
#[derive(Debug, Clone)]
pub(crate) struct Master {
    /// Which source it is, by its place in the settings.
    pub(crate) source: usize,
    /// As configured.
    pub(crate) addr: String,
    /// Its replication id.
    pub(crate) replid: String,
}

/// Looks at all sources at once: the masters, and of the errors of the others the one that the operator can do something
/// about.
pub(crate) async fn look(settings: &Settings) -> (Vec<Master>, Option<AttachError>) {
    let mut looking = JoinSet::new();
    for (index, options) in settings.sources.iter().cloned().enumerate() {
        looking.spawn(async move { (index, flow::look(&options).await) });
    }
    let mut found: Vec<_> = looking.join_all().await;
    found.sort_by_key(|(index, _)| *index);
    let (mut masters, mut last) = (Vec::new(), None);
    for (source, looked) in found {
        match looked {
            Ok(greeting) => {
                let addr = settings.sources[source].connect.addr.clone();
                masters.push(Master { source, addr, replid: greeting.replid });
            }
            Err(error) if !matches!(&last, Some(l) if AttachError::class(l) != Class::Retry) => {
                last = Some(error);
            }
            Err(_) => {}
        }
    }
    (masters, last)
}

/// The masters in words, for an error.
pub(crate) fn named(masters: &[Master]) -> String {
    let words: Vec<String> = masters.iter().map(|m| format!("{} ({})", m.addr, m.replid)).collect();
    words.join(" and ")
}

impl Replica {
    /// Attaches to one of the sources. `stranger`: since when only a master answers that is not the stored one.
    pub(super) async fn attach(
        &self,
        wanted: &Wanted<'_>,
        stranger: &mut Option<Instant>,
    ) -> Result<Attached, Error> {
        self.status.enter(Phase::Attaching, "");
        let attached = match self.settings.sources.len() {
            1 => self.attach_to(0, wanted).await.map_err(Error::from),
            _ => self.attach_to_one_of_several(wanted, stranger).await,
        };
        if let Err(error) = &attached {
            self.status.enter(Phase::Connecting, error.to_string());
        }
        attached
    }

    async fn attach_to_one_of_several(
        &self,
        wanted: &Wanted<'_>,
        stranger: &mut Option<Instant>,
    ) -> Result<Attached, Error> {
        let (masters, last) = look(&self.settings).await;
        let ids: Vec<&str> = masters.iter().map(|master| master.replid.as_str()).collect();
        let choice = choose(&ids, wanted.known.as_deref());
        if !matches!(choice, Choice::Stranger(_)) {
            *stranger = None;
        }
        match choice {
            Choice::Nobody => Err(last.expect("the configuration names at least one source").into()),
            Choice::This(index) => self.attach_as_seen(&masters[index], wanted).await,
            Choice::Stranger(_) | Choice::Strangers => {
                // Rule 22: one of them may have taken over.
                for master in masters.iter().filter(|_| wanted.parting.is_some()) {
                    let Ok(attached) = self.attach_as_seen(master, wanted).await else { continue };
                    match &attached.attachment.answer {
                        Answer::Partial => {
                            *stranger = None;
                            return Ok(attached);
                        }
                        Answer::Full(FullReason::InDoubt { doubt, .. }) => {
                            warn!(addr = master.addr, doubt, "not the heir of the source we know");
                        }
                        Answer::Full(_) => {}
                    }
                    attached.attachment.close(Vec::new()).await;
                }
                let known = wanted.known.clone().unwrap_or_else(|| "none".into());
                let Choice::Stranger(index) = choice else {
                    return Err(Error::SeveralMasters { masters: named(&masters), known });
                };
                let since = stranger.get_or_insert_with(Instant::now);
                if since.elapsed() < ALONE {
                    let (masters, seconds) = (named(&masters), ALONE.as_secs());
                    return Err(Error::OtherSource { master: masters, known, seconds });
                }
                self.attach_as_seen(&masters[index], wanted).await
            }
        }
    }

    /// Attaches to a master that was looked at a moment ago.
    async fn attach_as_seen(&self, master: &Master, wanted: &Wanted<'_>) -> Result<Attached, Error> {
        let attached = self.attach_to(master.source, wanted).await?;
        let found = &attached.attachment.greeting.replid;
        if *found != master.replid {
            let changed = format!("{} was restarted while it was looked at", master.addr);
            attached.attachment.close(Vec::new()).await;
            return Err(Error::SourceSilent(changed));
        }
        Ok(attached)
    }

    async fn attach_to(&self, index: usize, wanted: &Wanted<'_>) -> Result<Attached, AttachError> {
        let source = &self.settings.sources[index];
        let ends = match wanted.resume {
            Some(resume) if wanted.ask => {
                let mut side = SourceSide::new(source.connect.clone());
                // A source that does not tell has an open end.
                side.offsets().await.ok().filter(|ends| ends.len() == resume.lsns.len())
            }
            _ => None,
        };
        let attachment = flow::attach_after(source, wanted.resume, wanted.parting).await?;
        Ok(Attached { source: index, attachment, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_source_comes_first_and_nobody_is_guessed() {
        for (masters, known, expected) in [
            (&["new", "stored"][..], Some("stored"), Choice::This(1)),
            (&["stored", "new"], Some("stored"), Choice::This(0)),
            (&["new"], Some("stored"), Choice::Stranger(0)),
            (&["new", "other"], Some("stored"), Choice::Strangers),
            (&["new", "other"], None, Choice::Strangers),
            (&["new"], None, Choice::This(0)),
            (&[], Some("stored"), Choice::Nobody),
            (&[], None, Choice::Nobody),
        ] {
            assert_eq!(choose(masters, known), expected, "{masters:?} {known:?}");
        }
    }
}
