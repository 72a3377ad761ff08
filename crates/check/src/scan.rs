//! Going through both sides.

use bytes::Bytes;
use resp::Reply;
use router::Target;
use router::side::Side;
use router::sweep::Walk;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tracing::warn;

use crate::Error;
use crate::options::Options;
use crate::source::Source;
use crate::verdict::Named;
use crate::workers::{Context, Job};

/// Keys of a page, as far as the servers go by it.
const PAGE: usize = 1000;
/// How often a target whose slots move is gone through again.
const AGAIN: u32 = 2;

/// Every key of these databases of the source goes to the workers. Ends early where nobody works any more.
pub(crate) async fn source(
    source: &mut Source,
    databases: &[u32],
    context: &Context,
    jobs: &Sender<Job>,
) -> Result<(), Error> {
    let options = &context.shared.options;
    let mut left = if options.max_keys == 0 { u64::MAX } else { options.max_keys };
    let count = PAGE.to_string();
    let mut page = Vec::new();
    for db in databases {
        let mut cursor = Bytes::from_static(b"0");
        loop {
            let mut args: Vec<&[u8]> = vec![b"SCAN", &cursor, b"COUNT", count.as_bytes()];
            if let Some(glob) = options.filter.single() {
                args.extend([&b"MATCH"[..], glob]);
            }
            let reply = source.must(*db, &args).await?;
            let Some((next, names)) = parts(&reply) else {
                return Err(source.refused(b"SCAN", "unexpected reply"));
            };
            let mut left_out = 0;
            for key in names.iter().filter_map(Reply::as_bytes).filter(|key| options.filter.fits(key)) {
                match context.mapping.target_name(*db, key) {
                    Some((target_db, name)) if left > 0 => {
                        left -= 1;
                        page.push(Named { db: *db, key: key.clone(), target_db, name });
                    }
                    Some(_) => {}
                    None => left_out += 1,
                }
            }
            context.left_out(left_out);
            if page.len() >= PAGE && jobs.send(Job::Keys(std::mem::take(&mut page))).await.is_err() {
                return Ok(());
            }
            cursor = next.clone();
            if cursor == "0" || left == 0 {
                break;
            }
        }
    }
    if !page.is_empty() {
        // Without workers there is an error that says why.
        let _ = jobs.send(Job::Keys(page)).await;
    }
    Ok(())
}

/// Cursor and names.
fn parts(reply: &Reply) -> Option<(&Bytes, &[Reply])> {
    match reply.as_array()? {
        [cursor, Reply::Array(names)] => Some((cursor.as_bytes()?, names)),
        _ => None,
    }
}

/// Every name of these databases of the target goes to the workers.
pub(crate) async fn target(
    target: &Arc<Target>,
    databases: &[u32],
    options: &Options,
    jobs: &Sender<Job>,
) -> Result<(), Error> {
    let mut left = if options.max_keys == 0 { u64::MAX } else { options.max_keys };
    let mut side = Side::new(target.clone());
    for db in databases {
        for again in 0..=AGAIN {
            let mut walk = Walk::new(&side, *db, None);
            while let Some(mut names) = walk.page(&mut side).await? {
                names.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                left -= names.len() as u64;
                if !names.is_empty() && jobs.send(Job::Names(*db, names)).await.is_err() || left == 0 {
                    return Ok(());
                }
            }
            if !walk.disturbed(&side) {
                break;
            }
            warn!(again, "slots of the target moved while it was scanned; it is scanned again");
        }
    }
    Ok(())
}
