//! A disk that forgets what was not synced.
//!
//! Owns the model: contents and names, each as they are and as far as they are durable. Always holds:
//!
//! - A file's bytes are durable as of the begin of its last sync that ended; its name is not made durable
//!   by that.
//! - A directory's names are durable as of the begin of the directory's last sync that ended. Whatever no
//!   durable name leads to is gone.
//! - Beyond that a power cut may keep anything: any unsynced write, whole or torn between sectors, without
//!   the ones before it; any unsynced change of a name likewise.
//!
//! It is stricter than the file systems of today, which keep names in order, and never kinder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::log::{Event, Log};

const SECTOR: usize = 512;

/// Files with their bytes and directories (`None`), by their paths below the root.
pub type Files = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What a power cut keeps of the things that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeps {
    Nothing,
    /// Each with a chance that the seed decides, too.
    Some(u64),
    /// As if there had been no power cut.
    Everything,
}

/// Which syncs a disk may be told to ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Files,
    Directories,
}

pub struct Disk<'a> {
    log: &'a Log,
    root: PathBuf,
    nodes: Vec<Node>,
    by_inode: BTreeMap<u64, usize>,
    syncs: BTreeMap<u64, (usize, usize)>,
    unsynced_below: Option<(Of, PathBuf)>,
}

enum Node {
    File { durable: Vec<u8>, unsynced: Unsynced<Change> },
    Directory { durable: Names, now: Names, unsynced: Unsynced<NameChange> },
}

type Names = BTreeMap<String, usize>;

/// What happened since the last sync, and how much happened before it.
struct Unsynced<T> {
    settled: usize,
    changes: Vec<T>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, data: std::ops::Range<usize> },
    Truncate(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(String, usize),
    Remove(String),
    Rename(String, String, usize),
}

impl<T> Unsynced<T> {
    fn new() -> Self {
        Self { settled: 0, changes: Vec::new() }
    }

    fn so_far(&self) -> usize {
        self.settled + self.changes.len()
    }

    /// What a sync that began at `upto` makes durable now.
    fn settle(&mut self, upto: usize) -> Vec<T> {
        let count = upto.saturating_sub(self.settled).min(self.changes.len());
        self.settled += count;
        self.changes.drain(..count).collect()
    }
}

impl<'a> Disk<'a> {
    /// `root` is there and durable, with these files in it. The log's paths are below it.
    pub fn new(log: &'a Log, root: &Path, files: &Files) -> io::Result<Self> {
        let mut disk = Self {
            log,
            root: root.to_owned(),
            nodes: vec![empty_directory()],
            by_inode: BTreeMap::new(),
            syncs: BTreeMap::new(),
            unsynced_below: None,
        };
        // A directory sorts before what is in it.
        for (path, bytes) in files {
            let path = root.join(path);
            match bytes {
                None => disk.apply(&Event::MakeDirectory { path })?,
                Some(bytes) => disk.add(&path, bytes.clone())?,
            }
        }
        for node in 0..disk.nodes.len() {
            disk.settle(node, usize::MAX);
        }
        Ok(disk)
    }

    /// As if nobody had made such syncs below this path (it included), whatever the log says.
    #[must_use]
    pub fn without_syncs(mut self, of: Of, below: &Path) -> Self {
        self.unsynced_below = Some((of, below.to_owned()));
        self
    }

    /// Lets one more thing happen. An error means that the log and the model don't agree.
    pub fn apply(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Open { path, inode, is_directory } => self.open(path, *inode, *is_directory),
            Event::Write { inode, offset, data } => {
                self.change(*inode, Change::Write { offset: *offset, data: data.clone() })
            }
            Event::Truncate { inode, length } => self.change(*inode, Change::Truncate(*length)),
            Event::SyncBegin { inode, sync } => {
                let Some(node) = self.by_inode.get(inode).copied() else {
                    return Err(disagree("a sync of a file that nobody opened"));
                };
                let so_far = match &self.nodes[node] {
                    Node::File { unsynced, .. } => unsynced.so_far(),
                    Node::Directory { unsynced, .. } => unsynced.so_far(),
                };
                self.syncs.insert(*sync, (node, so_far));
                Ok(())
            }
            Event::SyncEnd { sync } => {
                let (node, upto) = self.syncs.remove(sync).ok_or_else(|| disagree("a sync that never began"))?;
                self.settle(node, upto);
                Ok(())
            }
            Event::Rename { from, to } => self.rename(from, to),
            Event::Link { from, to } => {
                let node = self.find(from).ok_or_else(|| disagree("a link to a file that is not there"))?;
                self.name(to, |name| NameChange::Add(name, node))
            }
            Event::Unlink { path } => self.name(path, NameChange::Remove),
            Event::MakeDirectory { path } => {
                self.nodes.push(empty_directory());
                let node = self.nodes.len() - 1;
                self.name(path, |name| NameChange::Add(name, node))
            }
            Event::Mark(_) => Ok(()),
        }
    }

    fn open(&mut self, path: &Path, inode: u64, is_directory: bool) -> io::Result<()> {
        let node = match self.find(path) {
            Some(node) => node,
            None if is_directory => return Err(disagree(&format!("'{}' came from nowhere", path.display()))),
            None => {
                self.add(path, Vec::new())?;
                self.nodes.len() - 1
            }
        };
        self.by_inode.insert(inode, node);
        Ok(())
    }

    fn add(&mut self, path: &Path, durable: Vec<u8>) -> io::Result<()> {
        self.nodes.push(Node::File { durable, unsynced: Unsynced::new() });
        let node = self.nodes.len() - 1;
        self.name(path, |name| NameChange::Add(name, node))
    }

    fn change(&mut self, inode: u64, change: Change) -> io::Result<()> {
        match self.by_inode.get(&inode).map(|node| &mut self.nodes[*node]) {
            Some(Node::File { unsynced, .. }) => {
                unsynced.changes.push(change);
                Ok(())
            }
            _ => Err(disagree("a write to what is no file")),
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if from.parent() != to.parent() {
            return Err(disagree("a rename between directories, which this model doesn't know"));
        }
        let node = self.find(from).ok_or_else(|| disagree("a rename of what is not there"))?;
        let old = name_of(from)?;
        self.name(to, |new| NameChange::Rename(old, new, node))
    }

    fn name(&mut self, path: &Path, change: impl FnOnce(String) -> NameChange) -> io::Result<()> {
        let name = name_of(path)?;
        let parent = path.parent().and_then(|parent| self.find(parent));
        match parent.map(|parent| &mut self.nodes[parent]) {
            Some(Node::Directory { now, unsynced, .. }) => {
                let change = change(name);
                apply_name(now, &change);
                unsynced.changes.push(change);
                Ok(())
            }
            _ => Err(disagree(&format!("'{}' has no directory", path.display()))),
        }
    }

    fn settle(&mut self, node: usize, upto: usize) {
        let of = match &self.nodes[node] {
            Node::File { .. } => Of::Files,
            Node::Directory { .. } => Of::Directories,
        };
        if let Some((unsynced, below)) = &self.unsynced_below
            && *unsynced == of
            && self.find(below).is_some_and(|top| self.is_below(top, node))
        {
            return;
        }
        match &mut self.nodes[node] {
            Node::File { durable, unsynced } => {
                for change in unsynced.settle(upto) {
                    apply_change(durable, &change, self.log);
                }
            }
            Node::Directory { durable, unsynced, .. } => {
                for change in unsynced.settle(upto) {
                    apply_name(durable, &change);
                }
            }
        }
    }

    fn is_below(&self, top: usize, node: usize) -> bool {
        top == node
            || match &self.nodes[top] {
                Node::Directory { now, .. } => now.values().any(|below| self.is_below(*below, node)),
                Node::File { .. } => false,
            }
    }

    /// Where a path leads now, as processes see it.
    fn find(&self, path: &Path) -> Option<usize> {
        let mut node = 0;
        for part in path.strip_prefix(&self.root).ok()?.components() {
            let Node::Directory { now, .. } = &self.nodes[node] else { return None };
            node = *now.get(part.as_os_str().to_str()?)?;
        }
        Some(node)
    }

    /// Every file that the power cut leaves, by its path below the root, and every directory (`None`).
    #[must_use]
    pub fn after_power_cut(&self, keeps: Keeps) -> Files {
        let mut chance = match keeps {
            Keeps::Nothing => Chance { seeded: None, share: 0.0 },
            Keeps::Everything => Chance { seeded: None, share: 1.0 },
            Keeps::Some(seed) => {
                let mut seeded = StdRng::seed_from_u64(seed);
                let share = [0.1, 0.5, 0.9][seeded.random_range(0..3)];
                Chance { seeded: Some(seeded), share }
            }
        };
        // A file's bytes are decided once, whatever names it has.
        let mut contents = BTreeMap::new();
        let mut left = BTreeMap::new();
        self.collect(0, Path::new(""), &mut chance, &mut contents, &mut left);
        left
    }

    fn collect(
        &self,
        directory: usize,
        path: &Path,
        chance: &mut Chance,
        contents: &mut BTreeMap<usize, Vec<u8>>,
        left: &mut Files,
    ) {
        let Node::Directory { durable, unsynced, .. } = &self.nodes[directory] else { return };
        let mut names = durable.clone();
        for change in unsynced.changes.iter().filter(|_| chance.keeps()) {
            apply_name(&mut names, change);
        }
        for (name, node) in names {
            let path = path.join(name);
            match &self.nodes[node] {
                Node::Directory { .. } => {
                    left.insert(path.clone(), None);
                    self.collect(node, &path, chance, contents, left);
                }
                Node::File { durable, unsynced } => {
                    let bytes = contents.entry(node).or_insert_with(|| {
                        let mut bytes = durable.clone();
                        for change in &unsynced.changes {
                            chance.apply(&mut bytes, change, self.log);
                        }
                        bytes
                    });
                    left.insert(path, Some(bytes.clone()));
                }
            }
        }
    }
}

struct Chance {
    /// Decides; without it the share is all or nothing.
    seeded: Option<StdRng>,
    share: f64,
}

impl Chance {
    fn keeps(&mut self) -> bool {
        match &mut self.seeded {
            Some(seeded) => seeded.random_bool(self.share),
            None => self.share > 0.5,
        }
    }

    fn apply(&mut self, bytes: &mut Vec<u8>, change: &Change, log: &Log) {
        if !self.keeps() {
            return;
        }
        let is_torn = self.seeded.as_mut().is_some_and(|seeded| seeded.random_bool(0.25));
        let (Change::Write { offset, data }, Some(seeded), true) = (change, &mut self.seeded, is_torn) else {
            return apply_change(bytes, change, log);
        };
        let mut at = data.start;
        while at < data.end {
            let offset = offset + (at - data.start) as u64;
            let to_border = SECTOR - usize::try_from(offset % SECTOR as u64).expect("less than a sector");
            let end = data.end.min(at + to_border);
            if seeded.random_bool(0.5) {
                apply_change(bytes, &Change::Write { offset, data: at..end }, log);
            }
            at = end;
        }
    }
}

fn apply_change(bytes: &mut Vec<u8>, change: &Change, log: &Log) {
    let index = |number: u64| usize::try_from(number).expect("files of a test fit into memory");
    match change {
        Change::Truncate(length) => bytes.resize(index(*length), 0),
        Change::Write { offset, data } => {
            let start = index(*offset);
            if bytes.len() < start + data.len() {
                bytes.resize(start + data.len(), 0);
            }
            bytes[start..start + data.len()].copy_from_slice(log.data(data));
        }
    }
}

fn apply_name(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Add(name, node) => {
            names.insert(name.clone(), *node);
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to, node) => {
            names.remove(from);
            names.insert(to.clone(), *node);
        }
    }
}

fn empty_directory() -> Node {
    Node::Directory { durable: Names::new(), now: Names::new(), unsynced: Unsynced::new() }
}

fn name_of(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| disagree(&format!("'{}' has no name", path.display())))
}

fn disagree(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the recorder missed something: {what}"))
}

#[cfg(test)]
mod tests;
