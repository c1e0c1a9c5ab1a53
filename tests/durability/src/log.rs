//! Reading what the recorder wrote. Owns the Rust side of the format that `recorder.c` draws.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Everything that happened to the watched directory, in order.
pub struct Log {
    bytes: Vec<u8>,
    pub events: Vec<Event>,
}

/// Inodes are the operating system's: one may mean another file after its file is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Open {
        path: PathBuf,
        inode: u64,
        is_directory: bool,
    },
    Write {
        inode: u64,
        offset: u64,
        data: Range<usize>,
    },
    Truncate {
        inode: u64,
        length: u64,
    },
    SyncBegin {
        inode: u64,
        sync: u64,
    },
    SyncEnd {
        sync: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    MakeDirectory {
        path: PathBuf,
    },
    /// The subject's own word.
    Mark(String),
}

const HEAD: usize = 48;

impl Log {
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        let mut events = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (event, next) = read_event(&bytes, at).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("the log has something unknown at byte {at}"))
            })?;
            events.push(event);
            at = next;
        }
        Ok(Self { bytes, events })
    }

    #[cfg(test)]
    pub(crate) fn by_hand(bytes: Vec<u8>, events: Vec<Event>) -> Self {
        Self { bytes, events }
    }

    #[must_use]
    pub fn data(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }
}

/// The event that begins `at` a byte, and where the next one does. `None` when it is none or cut short.
fn read_event(bytes: &[u8], at: usize) -> Option<(Event, usize)> {
    let head = bytes.get(at..at + HEAD)?;
    let short = |from: usize| head[from..from + 4].try_into().ok().map(u32::from_ne_bytes);
    let long = |from: usize| head[from..from + 8].try_into().ok().map(u64::from_ne_bytes);
    let (kind, first_path, second_path, flags) = (short(0)?, short(4)? as usize, short(8)? as usize, short(12)?);
    let (inode, first, data_length) = (long(16)?, long(24)?, usize::try_from(long(40)?).ok()?);
    let path_at = at + HEAD;
    let second_at = path_at + first_path;
    let data_at = second_at + second_path;
    let next = data_at + data_length;
    let text = |range: Range<usize>| Some(std::str::from_utf8(bytes.get(range)?).ok()?.to_owned());
    let path = || text(path_at..second_at).map(PathBuf::from);
    let second = || text(second_at..data_at).map(PathBuf::from);
    bytes.get(at..next)?;
    let event = match kind {
        1 => Event::Open { path: path()?, inode, is_directory: flags == 1 },
        2 => Event::Write { inode, offset: first, data: data_at..next },
        3 => Event::Truncate { inode, length: first },
        4 => Event::SyncBegin { inode, sync: first },
        5 => Event::SyncEnd { sync: first },
        6 => Event::Rename { from: path()?, to: second()? },
        7 => Event::Link { from: path()?, to: second()? },
        8 => Event::Unlink { path: path()? },
        9 => Event::MakeDirectory { path: path()? },
        10 => Event::Mark(text(data_at..next)?.trim_end().to_owned()),
        _ => return None,
    };
    Some((event, next))
}
