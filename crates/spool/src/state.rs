//! Where a chunk goes: every decision of the spool, without waiting and without files.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use crate::segment::{FRAME_HEADER, HEADER};
use crate::{Error, Options, WhenFull};

const LARGEST_FRAME: usize = 256 << 10;
const SMALLEST_FRAME: usize = 64;
/// Memory that is kept free for the hand-over to the disk, at most.
const LARGEST_HANDOVER: usize = 8 << 20;
/// Frames of memory that are not for chunks: two that are read back, and one that is being put together.
const WORKING_FRAMES: usize = 3;
/// Frames that one write takes.
const BATCH_FRAMES: usize = 4;

/// Sizes of what is written, fixed when the spool is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Most data in one frame.
    pub(crate) frame: usize,
    /// A segment of this length takes no more.
    pub(crate) segment: u64,
}

impl Layout {
    pub(crate) fn new(options: &Options) -> Layout {
        let limit = options.disk.as_ref().map_or(0, |disk| disk.limit);
        Layout {
            frame: (options.memory / 16).clamp(SMALLEST_FRAME, LARGEST_FRAME),
            segment: (limit / 16).clamp(4 << 10, 64 << 20),
        }
    }

    /// Most bytes that a chunk takes in files: it may begin a frame and a segment, and fill more of them.
    fn on_disk(self, len: usize) -> u64 {
        len as u64 + (HEADER + FRAME_HEADER) * (1 + (len / self.frame) as u64)
    }
}

/// What a push is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is in memory.
    Memory,
    /// It waits for the disk.
    Handover,
    /// There may be room later.
    Later,
    /// There is none, and waiting was not chosen.
    Full,
}

/// What the worker does next.
#[derive(Debug)]
pub(crate) enum Job {
    /// Read some frames back.
    Read,
    /// Write these chunks.
    Write(Vec<Bytes>),
    /// Everything is in memory again, or nobody wants it any more: remove the files.
    Remove,
}

/// The queue: `memory`, then what is on disk, then `handover`.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) layout: Layout,
    pub(crate) memory_limit: usize,
    pub(crate) disk_limit: u64,
    pub(crate) when_full: WhenFull,

    pub(crate) memory: VecDeque<Bytes>,
    pub(crate) memory_bytes: usize,
    handover: VecDeque<Bytes>,
    pub(crate) handover_bytes: usize,
    /// What the hand-over may take in files.
    reserved: u64,
    /// So many chunks of the hand-over are being written.
    in_flight: usize,
    /// Data on disk that was not read back.
    pub(crate) unread: u64,
    /// Bytes of all segment files.
    pub(crate) files: u64,
    /// Everything new goes to the hand-over.
    spilled: bool,
    /// The disk refused to take more.
    pub(crate) refused: bool,
    /// A worker runs.
    pub(crate) worker: bool,
    pub(crate) last_warning: Option<Instant>,

    pub(crate) error: Option<Error>,
    pub(crate) ended: bool,
    pub(crate) abandoned: bool,
    pub(crate) stalled: bool,
    pub(crate) memory_peak: usize,
    pub(crate) files_peak: u64,
}

impl State {
    pub(crate) fn new(options: &Options) -> State {
        State {
            layout: Layout::new(options),
            memory_limit: options.memory,
            disk_limit: options.disk.as_ref().map_or(0, |disk| disk.limit),
            when_full: options.when_full,
            memory: VecDeque::new(),
            memory_bytes: 0,
            handover: VecDeque::new(),
            handover_bytes: 0,
            reserved: 0,
            in_flight: 0,
            unread: 0,
            files: 0,
            spilled: false,
            refused: false,
            worker: false,
            last_warning: None,
            error: None,
            ended: false,
            abandoned: false,
            stalled: false,
            memory_peak: 0,
            files_peak: 0,
        }
    }

    /// Bytes that were pushed and not taken.
    pub(crate) fn waiting(&self) -> u64 {
        (self.memory_bytes + self.handover_bytes) as u64 + self.unread
    }

    /// Whether nothing is left to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Takes the chunks, which belong together, if there is room for all of them.
    pub(crate) fn admit(&mut self, chunks: &[Bytes]) -> Admission {
        let len = chunks.iter().map(Bytes::len).sum();
        let on_disk = chunks.iter().map(|chunk| self.layout.on_disk(chunk.len())).sum();
        let admission = self.place(len, on_disk);
        match admission {
            Admission::Memory => {
                self.memory_bytes += len;
                self.memory.extend(chunks.iter().cloned());
            }
            Admission::Handover => {
                self.spilled = true;
                self.handover_bytes += len;
                self.reserved += on_disk;
                self.handover.extend(chunks.iter().cloned());
            }
            Admission::Later | Admission::Full => {}
        }
        self.memory_peak = self.memory_peak.max(self.memory_bytes + self.handover_bytes);
        admission
    }

    /// Where `len` bytes go, which may take `on_disk` bytes in files.
    fn place(&self, len: usize, on_disk: u64) -> Admission {
        if !self.spilled && (self.memory.is_empty() || self.memory_bytes + len <= self.own_limit()) {
            return Admission::Memory;
        }
        if self.refused || self.files + self.reserved + on_disk > self.disk_limit {
            return match self.when_full {
                WhenFull::Stall => Admission::Later,
                WhenFull::Drop => Admission::Full,
            };
        }
        // What is read back later takes room in memory as well.
        let read_back = self.memory_bytes.max((WORKING_FRAMES - 1) * self.layout.frame);
        let taken = read_back + self.layout.frame + self.handover_bytes;
        if self.handover.is_empty() || taken + len <= self.memory_limit {
            Admission::Handover
        } else {
            Admission::Later
        }
    }

    /// How far memory is filled before anything goes to the disk.
    fn own_limit(&self) -> usize {
        match self.disk_limit {
            0 => self.memory_limit,
            _ => self.memory_limit - (self.memory_limit / 4).min(LARGEST_HANDOVER),
        }
    }

    /// Takes the oldest chunk out of memory.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let chunk = self.memory.pop_front()?;
        self.memory_bytes -= chunk.len();
        self.settle();
        Some(chunk)
    }

    /// Goes back to memory where nothing lies on disk any more and nothing is being written. Not at the first chance:
    /// the next push would go to the hand-over again.
    pub(crate) fn settle(&mut self) {
        let low = self.own_limit() / 2;
        if self.spilled
            && self.unread == 0
            && self.in_flight == 0
            && (self.memory.is_empty() || self.memory_bytes + self.handover_bytes <= low)
        {
            self.memory.append(&mut self.handover);
            self.memory_bytes += std::mem::take(&mut self.handover_bytes);
            self.reserved = 0;
            self.spilled = false;
            self.refused = false;
        }
    }

    fn wants_reading(&self) -> bool {
        self.unread > 0 && self.memory_bytes < self.layout.frame
    }

    /// Whether nothing on disk is of use any more.
    pub(crate) fn is_done(&self) -> bool {
        self.abandoned || self.error.is_some() || !self.spilled
    }

    /// Whether the receiver just made work for the worker.
    pub(crate) fn wakes_worker(&self) -> bool {
        self.worker && (self.wants_reading() || self.is_done())
    }

    /// The worker's next step; `None`: wait for a change.
    pub(crate) fn job(&mut self) -> Option<Job> {
        self.settle();
        if self.is_done() {
            return Some(Job::Remove);
        }
        if self.wants_reading() {
            return Some(Job::Read);
        }
        if self.handover.is_empty() || self.refused {
            return None;
        }
        let most = BATCH_FRAMES * self.layout.frame;
        let mut bytes = 0;
        let mut batch = Vec::new();
        for chunk in &self.handover {
            if !batch.is_empty() && bytes + chunk.len() > most {
                break;
            }
            bytes += chunk.len();
            batch.push(chunk.clone());
        }
        self.in_flight = batch.len();
        Some(Job::Write(batch))
    }

    /// The chunks of the last [`Job::Write`] are on disk, in `files` bytes of files more.
    pub(crate) fn written(&mut self, files: u64) {
        for chunk in self.handover.drain(..self.in_flight.min(self.handover.len())) {
            self.handover_bytes -= chunk.len();
            self.unread += chunk.len() as u64;
            self.reserved -= self.layout.on_disk(chunk.len());
        }
        self.in_flight = 0;
        self.files += files;
        self.files_peak = self.files_peak.max(self.files);
    }

    /// The chunks of the last [`Job::Write`] stay in the hand-over.
    pub(crate) fn not_written(&mut self) {
        self.in_flight = 0;
        self.refused = true;
    }

    /// These frames were read back.
    pub(crate) fn read_back(&mut self, frames: Vec<Bytes>) {
        if self.abandoned {
            return;
        }
        for frame in frames {
            self.unread -= frame.len() as u64;
            self.memory_bytes += frame.len();
            self.memory.push_back(frame);
        }
        self.memory_peak = self.memory_peak.max(self.memory_bytes + self.handover_bytes);
    }

    /// What is on disk is lost, and so is everything behind it.
    pub(crate) fn lose(&mut self, error: Error) {
        self.error.get_or_insert(error);
        self.forget_behind_memory();
    }

    /// Nobody takes anything any more.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        self.memory.clear();
        self.memory_bytes = 0;
        self.forget_behind_memory();
    }

    fn forget_behind_memory(&mut self) {
        self.handover.clear();
        self.handover_bytes = 0;
        self.reserved = 0;
        self.in_flight = 0;
        self.unread = 0;
    }
}
