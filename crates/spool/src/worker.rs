//! The thread that moves chunks to the disk and back.
//!
//! A thread and not a task of the runtime: it waits on the spool for as long as something is on disk, and file
//! operations block.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::Error;
use crate::queue::Shared;
use crate::segment::{FRAME_HEADER, HEADER, Identity, Reader, Writer};
use crate::state::{Job, Layout};

/// How long a disk that refused a write is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// At most one warning in this time.
const QUIET: Duration = Duration::from_secs(60);

/// Starts the thread, after [`crate::state::State::worker`] was set.
pub(crate) fn start(shared: &Arc<Shared>) {
    let mine = shared.clone();
    let started = thread::Builder::new().name("spool".into()).spawn(move || Worker::new(mine).run());
    if let Err(error) = started {
        let mut state = shared.lock();
        state.worker = false;
        state.refused = true;
        drop(state);
        warn_seldom(shared, &error);
    }
}

fn warn_seldom(shared: &Shared, error: &io::Error) {
    let now = Instant::now();
    let mut state = shared.lock();
    if state.last_warning.is_none_or(|last| now.duration_since(last) >= QUIET) {
        state.last_warning = Some(now);
        drop(state);
        let dir = shared.dir.as_deref().unwrap_or(Path::new("")).display();
        warn!(%dir, %error, "the spool cannot use its disk, which counts as full");
    }
}

/// One file. Those in front of the last one are complete.
#[derive(Debug)]
struct Segment {
    identity: Identity,
    path: PathBuf,
    /// End of the last frame.
    written: u64,
    /// End of the last frame that was read.
    read: u64,
}

/// What a batch became.
#[derive(Debug, Default)]
struct Frames {
    count: u64,
    /// Headers included.
    bytes: u64,
}

#[derive(Debug)]
struct Worker {
    shared: Arc<Shared>,
    dir: PathBuf,
    layout: Layout,
    nonce: u64,
    segments: VecDeque<Segment>,
    /// Appends to the last segment; `None`: the next write begins a new one.
    writer: Option<Writer>,
    /// Reads the first segment.
    reader: Option<Reader>,
    next_number: u64,
    next_write: u64,
    next_read: u64,
    /// One frame is put together here.
    scratch: Vec<u8>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            // The receiver must not wait for what nobody brings.
            let source = Arc::new(io::Error::other("the spool's thread panicked"));
            self.shared.lock().lose(Error::Read { file: self.dir.clone(), source });
            self.shared.readable.notify_one();
            self.shared.writable.notify_one();
        }
    }
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Worker {
        let dir = shared.dir.clone().expect("only a spool with a disk part hands anything over");
        let layout = shared.lock().layout;
        Worker {
            dir,
            layout,
            shared,
            // The only source of randomness at hand; nothing is decided by it.
            nonce: RandomState::new().build_hasher().finish(),
            segments: VecDeque::new(),
            writer: None,
            reader: None,
            next_number: 0,
            next_write: 0,
            next_read: 0,
            scratch: Vec::new(),
        }
    }

    fn run(mut self) {
        debug!(dir = %self.dir.display(), "spooling to disk");
        loop {
            match self.job() {
                Job::Read => self.read(),
                Job::Write(batch) => self.write(&batch),
                Job::Remove => {
                    self.remove_all();
                    let mut state = self.shared.lock();
                    if state.is_done() {
                        state.worker = false;
                        break;
                    }
                }
            }
        }
        debug!(dir = %self.dir.display(), "spooling in memory");
    }

    /// Waits for something to do.
    fn job(&self) -> Job {
        let mut state = self.shared.lock();
        loop {
            if let Some(job) = state.job() {
                // To settle gives room.
                self.shared.writable.notify_one();
                self.shared.readable.notify_one();
                return job;
            }
            let (guard, timeout) =
                self.shared.work.wait_timeout(state, RETRY).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if timeout.timed_out() && state.refused {
                state.refused = false;
            }
        }
    }

    fn write(&mut self, batch: &[Bytes]) {
        match self.append(batch) {
            Ok(files) => {
                let mut state = self.shared.lock();
                if !state.abandoned {
                    state.written(files);
                } else {
                    state.files += files;
                }
                drop(state);
                self.shared.readable.notify_one();
                self.shared.writable.notify_one();
            }
            Err(error) => {
                self.shared.lock().not_written();
                warn_seldom(&self.shared, &error);
                // With `WhenFull::Drop` a waiting push fails now.
                self.shared.writable.notify_one();
            }
        }
    }

    /// Writes all of a batch into one segment, or nothing of it. Returns by how much the files grew.
    fn append(&mut self, batch: &[Bytes]) -> io::Result<u64> {
        let mut files = 0;
        if self.writer.is_none() {
            self.create()?;
            files += HEADER;
        }
        match self.write_frames(batch) {
            Ok(frames) => {
                let segment = self.segments.back_mut().expect("a writer has its segment");
                segment.written += frames.bytes;
                self.next_write += frames.count;
                if segment.written >= self.layout.segment {
                    self.writer = None;
                }
                Ok(files + frames.bytes)
            }
            Err(error) => {
                self.shared.lock().files += files;
                self.seal();
                Err(error)
            }
        }
    }

    /// Appends a batch to the segment, cut into frames.
    fn write_frames(&mut self, batch: &[Bytes]) -> io::Result<Frames> {
        let writer = self.writer.as_mut().expect("the caller began a segment");
        let full = FRAME_HEADER as usize + self.layout.frame;
        let mut frames = Frames::default();
        self.scratch.clear();
        self.scratch.resize(FRAME_HEADER as usize, 0);
        for (i, chunk) in batch.iter().enumerate() {
            let last = i + 1 == batch.len();
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(full - self.scratch.len()));
                self.scratch.extend_from_slice(now);
                rest = later;
                if self.scratch.len() == full || last && rest.is_empty() {
                    frames.bytes += writer.append(self.next_write + frames.count, &mut self.scratch)?;
                    frames.count += 1;
                    self.scratch.truncate(FRAME_HEADER as usize);
                }
            }
        }
        Ok(frames)
    }

    /// Ends the last segment behind its last good frame, after a write failed.
    fn seal(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let last = self.segments.back().expect("a writer has its segment");
        if last.written == last.read {
            // Also where nothing was written: a disk that stays full does not collect empty files.
            self.remove_last();
        } else {
            // Nothing behind that is ever read, whether or not this succeeds.
            writer.cut(last.written);
        }
    }

    /// Begins a segment behind the last one.
    fn create(&mut self) -> io::Result<()> {
        loop {
            let identity = Identity { number: self.next_number, nonce: self.nonce };
            self.next_number += 1;
            match Writer::create(&self.dir, identity) {
                // Of a spool that was dropped and is being removed, or a leftover that nobody cleaned.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(writer) => {
                    let path = writer.path().to_owned();
                    self.segments.push_back(Segment { identity, path, written: HEADER, read: HEADER });
                    self.writer = Some(writer);
                    return Ok(());
                }
            }
        }
    }

    fn read(&mut self) {
        let outcome = self.frames();
        let mut state = self.shared.lock();
        match outcome {
            Ok(frames) => state.read_back(frames),
            Err(error) => state.lose(error),
        }
        drop(state);
        self.shared.readable.notify_one();
        self.shared.writable.notify_one();
        self.remove_read();
    }

    fn frames(&mut self) -> Result<Vec<Bytes>, Error> {
        let segment = self.segments.front_mut().expect("what is unread lies in the first segment");
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(Reader::open(&segment.path, segment.identity)?),
        };
        let frames = reader.frames(segment.written, self.layout.frame, self.next_read)?;
        segment.read = reader.at();
        self.next_read += frames.len() as u64;
        Ok(frames)
    }

    /// Removes the first segment where it was read and is complete.
    fn remove_read(&mut self) {
        while let Some(first) = self.segments.front()
            && first.read == first.written
            && (self.segments.len() > 1 || self.writer.is_none())
        {
            self.remove_first();
        }
    }

    fn remove_all(&mut self) {
        self.writer = None;
        while !self.segments.is_empty() {
            self.remove_first();
        }
        self.next_read = self.next_write;
    }

    fn remove_first(&mut self) {
        self.reader = None;
        if let Some(first) = self.segments.pop_front() {
            self.remove(&first);
        }
    }

    fn remove_last(&mut self) {
        if self.segments.len() <= 1 {
            self.reader = None;
        }
        if let Some(last) = self.segments.pop_back() {
            self.remove(&last);
        }
    }

    fn remove(&self, segment: &Segment) {
        if let Err(error) = fs::remove_file(&segment.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn_seldom(&self.shared, &error);
        }
        let mut state = self.shared.lock();
        state.files -= segment.written;
        // There is room now.
        state.refused = false;
        drop(state);
        self.shared.writable.notify_one();
    }
}
