//! What is left after a power cut at any moment: a disk that forgets all that was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::inbox::InboxOptions;
use crate::sqlite::Synchronous;
use crate::test_clock::TestClock;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Directory,
    File(usize),
}

/// Names and contents, each as they are and as they would be after a power cut.
#[derive(Clone, Default)]
struct State {
    names: BTreeMap<PathBuf, Node>,
    synced_names: BTreeMap<PathBuf, Node>,
    contents: Vec<Vec<u8>>,
    synced_contents: Vec<Vec<u8>>,
    /// What the disk would be if the power went after each call so far.
    cuts: Vec<Cut>,
}

#[derive(Clone)]
struct Cut {
    names: BTreeMap<PathBuf, Node>,
    contents: Vec<Vec<u8>>,
}

impl State {
    /// The kernel may write a name down without being asked, too; then only the bytes count.
    fn call(&mut self) {
        let reachable = |names: &BTreeMap<PathBuf, Node>| {
            let all = names.clone();
            all.iter()
                .filter(|(path, _)| {
                    path.ancestors().skip(1).filter(|up| up.starts_with("/d/blobs")).all(|up| all.contains_key(up))
                })
                .map(|(path, node)| (path.clone(), *node))
                .collect()
        };
        for names in [&self.synced_names, &self.names] {
            self.cuts.push(Cut { names: reachable(names), contents: self.synced_contents.clone() });
        }
    }
}

#[derive(Clone, Default)]
struct ForgetfulDisk(Arc<Mutex<State>>);

impl ForgetfulDisk {
    fn with<T>(&self, call: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = call(&mut state);
        state.call();
        result
    }

    /// The disk as it comes up when the power went now, with nothing that wasn't synced.
    fn after_power_cut(&self) -> Self {
        let mut state = self.0.lock().unwrap().clone();
        state.call();
        let cut = state.cuts[state.cuts.len() - 2].clone();
        Self::from_cut(cut)
    }

    fn from_cut(cut: Cut) -> Self {
        Self(Arc::new(Mutex::new(State {
            names: cut.names.clone(),
            synced_names: cut.names,
            contents: cut.contents.clone(),
            synced_contents: cut.contents,
            cuts: Vec::new(),
        })))
    }
}

struct ForgetfulFile(ForgetfulDisk, usize);

impl DiskFile for ForgetfulFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.with(|state| {
            state.contents[self.1].extend_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.with(|state| {
            state.synced_contents[self.1] = state.contents[self.1].clone();
            Ok(())
        })
    }
}

impl State {
    fn add(&mut self, path: &Path, node: Node) -> io::Result<()> {
        if self.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.names.insert(path.to_owned(), node);
        Ok(())
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        self.names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for ForgetfulDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.with(|state| {
            let file = state.contents.len();
            state.add(path, Node::File(file))?;
            state.contents.push(Vec::new());
            state.synced_contents.push(Vec::new());
            Ok(file)
        })?;
        Ok(Box::new(ForgetfulFile(self.clone(), file)))
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.with(|state| state.add(path, Node::Directory))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.with(|state| {
            state.synced_names.retain(|name, _| name.parent() != Some(path));
            let now = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
            state.synced_names.extend(now.map(|(name, node)| (name.clone(), *node)).collect::<Vec<_>>());
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|state| {
            let node = state.node(from)?;
            state.add(to, node)
        })
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.with(|state| state.names.remove(path).map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into()))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.with(|state| Ok(state.names.contains_key(path)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.with(|state| match state.node(path)? {
            Node::File(file) => Ok(state.contents[file].clone()),
            Node::Directory => Err(ErrorKind::IsADirectory.into()),
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        self.with(|state| {
            let below = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
            Ok(below
                .map(|(name, node)| DiskEntry {
                    name: name.file_name().unwrap().to_str().unwrap().to_owned(),
                    is_directory: *node == Node::Directory,
                })
                .collect())
        })
    }
}

struct Machine {
    _dir: tempfile::TempDir,
    disk: ForgetfulDisk,
    blobs: LocalBlobs,
}

/// The rows are on a real disk of their own: SQLite's durability is SQLite's to test.
fn boot(disk: ForgetfulDisk) -> Machine {
    let dir = tempfile::tempdir().unwrap();
    let options = InboxOptions { synchronous: Synchronous::Off, ..InboxOptions::default() };
    let inbox = Inbox::open(dir.path(), TestClock::at(0), options).unwrap();
    let blobs = LocalBlobs::open_on(Arc::new(disk.clone()), Path::new("/d"), inbox).unwrap();
    Machine { _dir: dir, disk, blobs }
}

fn large(byte: u8) -> Bytes {
    vec![byte; SMALL + 1].into()
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_power_cut() {
    let Machine { disk, blobs, _dir } = boot(ForgetfulDisk::default());
    let keys = ["a", "deep/er/and/deeper/still", "deep/er/sibling", "A/b.blob/c"];
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(blobs.put_if_absent(key, large(n as u8)).await.unwrap(), Put::Stored);
        let after = boot(disk.after_power_cut());
        for (n, key) in keys.iter().enumerate().take(n + 1) {
            assert_eq!(after.blobs.get(key).await.unwrap(), large(n as u8), "{key}");
        }
    }
    blobs.delete("a").await.unwrap();
    assert!(matches!(boot(disk.after_power_cut()).blobs.get("a").await, Err(BlobError::Missing(_))));
}

#[tokio::test]
async fn after_a_power_cut_at_any_moment_objects_are_whole_or_not_there() {
    let Machine { disk, blobs, _dir } = boot(ForgetfulDisk::default());
    for n in 0..3 {
        blobs.put_if_absent(&format!("x/{n}"), large(n)).await.unwrap();
    }
    let cuts = disk.0.lock().unwrap().cuts.clone();
    let mut sizes = BTreeSet::new();
    for cut in cuts {
        let after = boot(ForgetfulDisk::from_cut(cut));
        let keys = after.blobs.list("", None, 10).await.unwrap();
        for key in &keys {
            let n: u8 = key.strip_prefix("x/").unwrap().parse().unwrap();
            assert_eq!(after.blobs.get(key).await.unwrap(), large(n), "{key}");
        }
        sizes.insert(keys.len());
        // And the machine works on.
        let put = after.blobs.put_if_absent("x/0", large(0)).await.unwrap();
        assert_eq!(put == Put::WasThere, keys.contains(&"x/0".to_owned()));
    }
    assert_eq!(sizes, BTreeSet::from([0, 1, 2, 3]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn also_the_loser_of_a_race_is_answered_only_when_the_object_is_durable() {
    for _ in 0..10 {
        let Machine { disk, blobs, _dir } = boot(ForgetfulDisk::default());
        let puts = (0..8_u8).map(|n| {
            let (disk, blobs) = (disk.clone(), blobs.clone());
            tokio::spawn(async move {
                let bytes = if n % 4 == 3 { Bytes::from_static(b"small") } else { large(n) };
                let put = blobs.put_if_absent("new/dir/x", bytes).await.unwrap();
                (put, disk.after_power_cut())
            })
        });
        let puts: Vec<_> = puts.collect();
        let mut answers = Vec::new();
        for put in puts {
            answers.push(put.await.unwrap());
        }
        let won = blobs.get("new/dir/x").await.unwrap();
        if won.len() > SMALL {
            for (_, cut) in &answers {
                assert_eq!(boot(cut.clone()).blobs.get("new/dir/x").await.unwrap(), won);
            }
        }
        assert_eq!(answers.iter().filter(|(put, _)| *put == Put::Stored).count(), 1);
    }
}
