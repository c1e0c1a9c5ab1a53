//! The recording disk itself: what it replays after a power cut is what was synced.

use super::*;

const ROOT: &str = "/d";

/// A log made by hand.
#[derive(Default)]
struct Story {
    bytes: Vec<u8>,
    events: Vec<Event>,
    syncs: u64,
}

impl Story {
    fn then(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    fn opens(self, path: &str, inode: u64) -> Self {
        self.then(Event::Open { path: path.into(), inode, is_directory: false })
    }

    fn opens_directory(self, path: &str, inode: u64) -> Self {
        self.then(Event::Open { path: path.into(), inode, is_directory: true })
    }

    fn writes(mut self, inode: u64, offset: u64, text: &[u8]) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        let data = start..self.bytes.len();
        self.then(Event::Write { inode, offset, data })
    }

    fn begins_sync(mut self, inode: u64) -> Self {
        self.syncs += 1;
        let sync = self.syncs;
        self.then(Event::SyncBegin { inode, sync })
    }

    fn ends_sync(self) -> Self {
        let sync = self.syncs;
        self.then(Event::SyncEnd { sync })
    }

    fn syncs(self, inode: u64) -> Self {
        self.begins_sync(inode).ends_sync()
    }

    fn left(self, keeps: Keeps) -> Files {
        let log = Log::by_hand(self.bytes, self.events);
        let mut disk = Disk::new(&log, Path::new(ROOT), &Files::new()).unwrap();
        for event in &log.events {
            disk.apply(event).unwrap();
        }
        disk.after_power_cut(keeps)
    }

    fn bytes_left(self, path: &str, keeps: Keeps) -> Option<Vec<u8>> {
        self.left(keeps).remove(Path::new(path)).flatten()
    }
}

#[test]
fn a_file_keeps_what_was_synced_and_no_more() {
    let story = || Story::default().opens_directory(ROOT, 1).opens("/d/a", 2).writes(2, 0, b"one").syncs(2).syncs(1);
    let more = || story().writes(2, 3, b" two");
    assert_eq!(more().bytes_left("a", Keeps::Nothing).unwrap(), b"one");
    assert_eq!(more().bytes_left("a", Keeps::Everything).unwrap(), b"one two");
    assert_eq!(more().syncs(2).bytes_left("a", Keeps::Nothing).unwrap(), b"one two");
    let cut_short = story().then(Event::Truncate { inode: 2, length: 1 });
    assert_eq!(cut_short.syncs(2).bytes_left("a", Keeps::Nothing).unwrap(), b"o");
}

#[test]
fn a_sync_covers_what_came_before_it_began_and_only_once_it_has_ended() {
    let story = || {
        let named = Story::default().opens_directory(ROOT, 1).opens("/d/a", 2).syncs(1);
        named.writes(2, 0, b"before").begins_sync(2).writes(2, 6, b" after")
    };
    assert_eq!(story().bytes_left("a", Keeps::Nothing).unwrap(), b"");
    assert_eq!(story().ends_sync().bytes_left("a", Keeps::Nothing).unwrap(), b"before");
}

#[test]
fn a_synced_file_whose_name_was_not_synced_is_gone() {
    let story = || Story::default().opens_directory(ROOT, 1).opens("/d/a", 2).writes(2, 0, b"one").syncs(2);
    assert_eq!(story().bytes_left("a", Keeps::Nothing), None);
    assert_eq!(story().bytes_left("a", Keeps::Everything).unwrap(), b"one");
}

#[test]
fn everything_in_a_directory_goes_with_the_name_of_the_directory() {
    let story = || {
        let made = Story::default().opens_directory(ROOT, 1).then(Event::MakeDirectory { path: "/d/b".into() });
        made.opens_directory("/d/b", 3).opens("/d/b/a", 2).writes(2, 0, b"one").syncs(2).syncs(3)
    };
    assert!(story().left(Keeps::Nothing).is_empty());
    assert_eq!(story().syncs(1).bytes_left("b/a", Keeps::Nothing).unwrap(), b"one");
}

#[test]
fn a_name_that_was_taken_away_or_changed_is_back_unless_the_directory_was_synced() {
    let story = || Story::default().opens_directory(ROOT, 1).opens("/d/a", 2).writes(2, 0, b"one").syncs(2).syncs(1);
    let unlinked = || story().then(Event::Unlink { path: "/d/a".into() });
    assert_eq!(unlinked().bytes_left("a", Keeps::Nothing).unwrap(), b"one");
    assert_eq!(unlinked().syncs(1).bytes_left("a", Keeps::Nothing), None);
    let renamed = || story().then(Event::Rename { from: "/d/a".into(), to: "/d/b".into() });
    assert_eq!(renamed().bytes_left("b", Keeps::Nothing), None);
    assert_eq!(renamed().syncs(1).bytes_left("b", Keeps::Nothing).unwrap(), b"one");
    let linked = || story().then(Event::Link { from: "/d/a".into(), to: "/d/b".into() });
    assert_eq!(linked().left(Keeps::Nothing).len(), 1);
    assert_eq!(linked().syncs(1).left(Keeps::Nothing).len(), 2);
}

#[test]
fn unsynced_writes_are_kept_torn_between_sectors_and_out_of_order_as_the_seed_has_it() {
    let story = || {
        let named = Story::default().opens_directory(ROOT, 1).opens("/d/a", 2).syncs(1);
        named.writes(2, 0, &[1; 2 * SECTOR]).writes(2, 2 * SECTOR as u64, &[2; 2 * SECTOR])
    };
    let mut later_without_earlier = 0;
    let mut torn = 0;
    for seed in 0..200 {
        let bytes = story().bytes_left("a", Keeps::Some(seed)).unwrap();
        assert_eq!(bytes, story().bytes_left("a", Keeps::Some(seed)).unwrap(), "a seed means one disk");
        let sectors: Vec<u8> = bytes.chunks(SECTOR).map(|sector| sector[0]).collect();
        for (sector, bytes) in sectors.iter().zip(bytes.chunks(SECTOR)) {
            assert!(bytes.iter().all(|byte| byte == sector), "a sector is whole");
        }
        later_without_earlier += usize::from(sectors.starts_with(&[0, 0]));
        torn += usize::from(sectors.starts_with(&[0, 1]) || sectors.starts_with(&[1, 0]));
    }
    assert!(later_without_earlier > 0 && torn > 0);
}

#[test]
fn syncs_below_a_path_can_be_left_out_those_of_files_or_those_of_directories() {
    let left = |of| {
        let story = Story::default().opens_directory(ROOT, 1).then(Event::MakeDirectory { path: "/d/b".into() });
        let story = story.opens_directory("/d/b", 3).opens("/d/b/a", 2).opens("/d/c", 4);
        let story = story.writes(2, 0, b"a").writes(4, 0, b"c").syncs(2).syncs(4).syncs(3).syncs(1);
        let log = Log::by_hand(story.bytes, story.events);
        let mut disk = Disk::new(&log, Path::new(ROOT), &Files::new()).unwrap().without_syncs(of, Path::new("/d/b"));
        for event in &log.events {
            disk.apply(event).unwrap();
        }
        disk.after_power_cut(Keeps::Nothing)
    };
    let file = |path: &str, text: &[u8]| (PathBuf::from(path), Some(text.to_vec()));
    let directory = (PathBuf::from("b"), None);
    assert_eq!(left(Of::Directories), BTreeMap::from([directory.clone(), file("c", b"c")]));
    assert_eq!(left(Of::Files), BTreeMap::from([directory, file("b/a", b""), file("c", b"c")]));
}

#[test]
fn what_was_there_before_the_log_began_is_durable() {
    let before = Files::from([
        (PathBuf::from("b"), None),
        (PathBuf::from("b/a"), Some(b"old".to_vec())),
        (PathBuf::from("c"), Some(b"c".to_vec())),
    ]);
    let story = Story::default().opens("/d/b/a", 2).writes(2, 0, b"new").then(Event::Unlink { path: "/d/c".into() });
    let log = Log::by_hand(story.bytes, story.events);
    let mut disk = Disk::new(&log, Path::new(ROOT), &before).unwrap();
    for event in &log.events {
        disk.apply(event).unwrap();
    }
    assert_eq!(disk.after_power_cut(Keeps::Nothing), before);
}

#[test]
fn a_log_that_can_t_be_true_is_refused() {
    let refused = |event: Event| {
        let log = Log::by_hand(Vec::new(), Vec::new());
        Disk::new(&log, Path::new(ROOT), &Files::new()).unwrap().apply(&event).unwrap_err().to_string()
    };
    for event in [
        Event::Write { inode: 9, offset: 0, data: 0..0 },
        Event::SyncEnd { sync: 1 },
        Event::Link { from: "/d/a".into(), to: "/d/b".into() },
        Event::Open { path: "/d/none/a".into(), inode: 1, is_directory: false },
    ] {
        assert!(refused(event).contains("missed"));
    }
}
