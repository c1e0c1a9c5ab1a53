//! Folders of this machine that are read as sources: answering for them, and seeing what changes in them.
//!
//! Always holds: only files of Markdown inside of the folder are read, at most [`MOST_BYTES`] of each; no symbolic
//! link is followed and nothing hidden is looked at; a folder that can't be listed whole is a fault and no shorter
//! list, so that nothing in it is taken for deleted.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use teal::domain::Millis;
use teal::ports::fault::FaultKind;
use teal::ports::folder::{AFTER, Entry, LIST, Listed, MODIFIED, PATH, PROBLEM, READ, SCHEME, SINCE};
use teal::ports::upstream::{HeaderValue, Request, Response};
use teal::ports::{Fault, Upstream};

/// Largest file.
pub const MOST_BYTES: u64 = 1024 * 1024;
/// Files in a folder that is watched.
const MOST_FILES: usize = 100_000;
const MOST_DEPTH: usize = 64;
/// Files and bytes in one part of a listing, and so in one page.
const PART_FILES: usize = 200;
const PART_BYTES: u64 = 4 * MOST_BYTES;

/// What is known of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    bytes: u64,
    /// When its content, its name or its place was last changed.
    changed: Millis,
    /// Why it can't be read.
    problem: Option<String>,
}

/// Answers for folders, and leaves everything else to another upstream.
pub struct FolderUpstream {
    /// What the folders' names are relative to.
    pub base: PathBuf,
    pub others: Arc<dyn Upstream>,
}

#[async_trait]
impl Upstream for FolderUpstream {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let method = request.method.as_str();
        let Some(folder) = request.url.strip_prefix(SCHEME).filter(|_| [LIST, READ].contains(&method)) else {
            return self.others.send(request).await;
        };
        let folder = self.base.join(folder);
        let header = |name: &str| {
            request.headers.iter().find_map(|(n, value)| match value {
                HeaderValue::Plain(text) if n == name => Some(text.clone()),
                _ => None,
            })
        };
        let (path, after) = (header(PATH).unwrap_or_default(), header(AFTER).unwrap_or_default());
        let since = header(SINCE).and_then(|since| since.parse().ok()).map(Millis);
        let is_list = method == LIST;
        let asked = tokio::task::spawn_blocking(move || match is_list {
            true => list(&folder, &after, since),
            false => read(&folder, &path),
        });
        asked.await.map_err(|error| Fault::new(FaultKind::Transient, "reading a folder was cut off").because(error))?
    }
}

/// All files of Markdown in a folder, by path.
pub fn look(folder: &Path) -> Result<BTreeMap<String, Seen>, Fault> {
    let mut files = BTreeMap::new();
    walk(folder, "", |path, seen| {
        files.insert(path, seen);
        if files.len() > MOST_FILES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if files.len() > MOST_FILES {
        return Err(too_much(folder, &format!("has more than {MOST_FILES} files of Markdown")));
    }
    Ok(files)
}

/// Something in a folder. The path of a folder ends in `/`, so that the order of paths is the order of all in them.
struct Found {
    path: String,
    at: PathBuf,
}

/// Hands on the files of Markdown behind a path, in the order of their paths, until somebody has enough. What is before
/// that path is not asked about, so that a listing in parts costs little more than one of all.
fn walk(folder: &Path, after: &str, mut visit: impl FnMut(String, Seen) -> ControlFlow<()>) -> Result<(), Fault> {
    // The next one is the last.
    let mut waiting = found_in(folder, "")?;
    while let Some(Found { path, at }) = waiting.pop() {
        if path.as_str() <= after && !(path.ends_with('/') && after.starts_with(&path)) {
            continue;
        }
        if path.ends_with('/') {
            if path.matches('/').count() > MOST_DEPTH {
                return Err(too_much(folder, &format!("is nested deeper than {MOST_DEPTH} folders")));
            }
            waiting.extend(found_in(&at, &path)?);
            continue;
        }
        let data = match at.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            data => data.map_err(|error| unreadable(&at, error))?,
        };
        if is_markdown(&path) || (data.is_symlink() && at.is_dir()) {
            let has_text_name = at.file_name().is_some_and(|name| name.to_str().is_some());
            let problem = problem(&data, has_text_name);
            if visit(path, Seen { bytes: data.len(), changed: changed(&data), problem }).is_break() {
                break;
            }
        }
    }
    Ok(())
}

/// What is in a folder and not hidden, the last path first.
fn found_in(folder: &Path, prefix: &str) -> Result<Vec<Found>, Fault> {
    let failed = |error| unreadable(folder, error);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') {
            let end = if entry.file_type().map_err(failed)?.is_dir() { "/" } else { "" };
            all.push(Found { path: format!("{prefix}{name}{end}"), at: entry.path() });
        }
    }
    all.sort_by(|one, other| other.path.cmp(&one.path));
    Ok(all)
}

/// Whether all files of before are there.
pub fn lacks_none(now: &BTreeMap<String, Seen>, before: &BTreeMap<String, Seen>) -> bool {
    before.keys().all(|path| now.contains_key(path))
}

fn is_markdown(path: &str) -> bool {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    matches!(ending.as_deref(), Some("md" | "markdown"))
}

fn problem(data: &Metadata, has_text_name: bool) -> Option<String> {
    if !has_text_name {
        Some("its name is not UTF-8; rename it".to_owned())
    } else if data.is_symlink() {
        Some("it is a symbolic link, and none is followed; put a copy in its place".to_owned())
    } else if !data.is_file() {
        Some("it is no regular file".to_owned())
    } else {
        (data.len() > MOST_BYTES).then(too_large)
    }
}

fn too_large() -> String {
    format!("it is larger than {} KB; divide it into several", MOST_BYTES / 1024)
}

/// The time of the content alone would not tell of a file that was moved here.
fn changed(data: &Metadata) -> Millis {
    #[cfg(unix)]
    let status = Millis(std::os::unix::fs::MetadataExt::ctime(data).saturating_mul(1000));
    #[cfg(not(unix))]
    let status = Millis(0);
    written(data).max(status)
}

fn written(data: &Metadata) -> Millis {
    let since = data.modified().unwrap_or(SystemTime::UNIX_EPOCH).duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn list(folder: &Path, after: &str, since: Option<Millis>) -> Result<Response, Fault> {
    let mut listed = Listed::default();
    let mut bytes = 0;
    walk(folder, after, |path, seen| {
        if since.is_some_and(|since| seen.changed < since) {
            return ControlFlow::Continue(());
        }
        let size = if seen.problem.is_none() { seen.bytes } else { 0 };
        if listed.files.len() == PART_FILES || (bytes + size > PART_BYTES && !listed.files.is_empty()) {
            listed.more = true;
            return ControlFlow::Break(());
        }
        bytes += size;
        listed.files.push(Entry { path, problem: seen.problem });
        ControlFlow::Continue(())
    })?;
    let body = serde_json::to_vec(&listed).map_err(|error| too_much(folder, &error.to_string()))?;
    Ok(Response { status: 200, headers: Vec::new(), body: body.into() })
}

fn read(folder: &Path, path: &str) -> Result<Response, Fault> {
    let answer = |status, name: &str, value: String, body: Vec<u8>| {
        let headers = vec![(PATH.to_owned(), path.to_owned()), (name.to_owned(), value)];
        Ok(Response { status, headers, body: body.into() })
    };
    let refused = |why: String| answer(422, PROBLEM, why, Vec::new());
    if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
        return refused("it is not in the folder".to_owned());
    }
    let whole = folder.join(path);
    // A folder on the way may have become a link since the listing.
    let opened =
        folder.canonicalize().and_then(|inside| Ok((inside.join(path) == whole.canonicalize()?, File::open(&whole)?)));
    let (is_inside, file) = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return answer(404, PATH, path.to_owned(), Vec::new()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return refused("Teal may not read it; give it the permission".to_owned());
        }
        opened => opened.map_err(|error| unreadable(&whole, error))?,
    };
    if !is_inside {
        return refused("a symbolic link leads to it, and none is followed".to_owned());
    }
    let mut body = Vec::new();
    let data = file.metadata().map_err(|error| unreadable(&whole, error))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut body).map_err(|error| unreadable(&whole, error))?;
    if body.len() as u64 > MOST_BYTES {
        return refused(too_large());
    }
    answer(200, MODIFIED, written(&data).to_string(), body)
}

fn unreadable(path: &Path, error: std::io::Error) -> Fault {
    let (kind, what) = match error.kind() {
        ErrorKind::NotFound => (FaultKind::Permanent, "is not there; make it, or mend 'folder' in the source's config"),
        ErrorKind::PermissionDenied => (FaultKind::Permanent, "may not be read; give Teal the permission"),
        _ => (FaultKind::Transient, "can't be read"),
    };
    Fault::new(kind, format!("'{}' {what}", path.display())).because(error)
}

fn too_much(folder: &Path, what: &str) -> Fault {
    Fault::new(FaultKind::Permanent, format!("the folder '{}' {what}; read a smaller one", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(response: &Response) -> Vec<(String, bool)> {
        let listed: Listed = serde_json::from_slice(&response.body).unwrap();
        listed.files.into_iter().map(|entry| (entry.path, entry.problem.is_some())).collect()
    }

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, body) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, body).unwrap();
        }
        folder
    }

    #[test]
    fn markdown_is_listed_in_the_order_of_paths_and_nothing_else_is() {
        let files: [(&str, &[u8]); 5] =
            [("b.MD", b"b"), ("a/x.markdown", b"x"), ("c.txt", b"c"), (".git/d.md", b"d"), (".e.md", b"e")];
        let folder = folder(&files);
        let all = list(folder.path(), "", None).unwrap();
        assert_eq!(paths(&all), [("a/x.markdown".into(), false), ("b.MD".into(), false)]);
        assert_eq!(paths(&list(folder.path(), "a/x.markdown", None).unwrap()), [("b.MD".into(), false)]);
        assert!(paths(&list(folder.path(), "", Some(Millis(i64::MAX))).unwrap()).is_empty());
    }

    #[test]
    fn a_long_listing_comes_in_parts() {
        let folder = folder(&[]);
        for n in 0..PART_FILES + 1 {
            std::fs::write(folder.path().join(format!("{n:04}.md")), "x").unwrap();
        }
        let first: Listed = serde_json::from_slice(&list(folder.path(), "", None).unwrap().body).unwrap();
        assert_eq!((first.files.len(), first.more), (PART_FILES, true));
        let after = &first.files.last().unwrap().path;
        let rest: Listed = serde_json::from_slice(&list(folder.path(), after, None).unwrap().body).unwrap();
        assert_eq!((rest.files.len(), rest.more), (1, false));
    }

    #[test]
    fn a_listing_goes_on_behind_any_path_in_one_order_also_between_a_file_and_a_folder_of_its_name() {
        let names = ["a.md", "a/a.md", "a/b/c.md", "a/b.md", "a0.md", "b/x.md", "b.md"];
        let folder = folder(&names.map(|name| (name, &b"x"[..])));
        let mut sorted = names.map(str::to_owned);
        sorted.sort_unstable();
        assert_eq!(look(folder.path()).unwrap().into_keys().collect::<Vec<_>>(), sorted);
        for (nth, after) in sorted.iter().enumerate() {
            let rest = paths(&list(folder.path(), after, None).unwrap());
            assert_eq!(rest.into_iter().map(|(path, _)| path).collect::<Vec<_>>(), sorted[nth + 1..], "{after}");
        }
    }

    #[test]
    fn a_file_is_read_with_its_time_and_one_that_went_is_gone() {
        let folder = folder(&[("a.md", b"caf\xe9")]);
        let read_ = read(folder.path(), "a.md").unwrap();
        assert_eq!((read_.status, &read_.body[..]), (200, &b"caf\xe9"[..]));
        assert!(read_.header(MODIFIED).unwrap().ends_with('Z'));
        assert_eq!(read(folder.path(), "b.md").unwrap().status, 404);
    }

    #[test]
    fn nothing_outside_of_the_folder_is_read() {
        let outside = folder(&[("secret.md", b"secret")]);
        let folder = folder(&[("a.md", b"a")]);
        for path in ["../secret.md", "/etc/passwd", "a/../../secret.md"] {
            assert_eq!(read(folder.path(), path).unwrap().status, 422, "{path}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(outside.path().join("secret.md"), folder.path().join("link.md")).unwrap();
            std::os::unix::fs::symlink(outside.path(), folder.path().join("linked")).unwrap();
            let listed = paths(&list(folder.path(), "", None).unwrap());
            assert_eq!(listed, [("a.md".into(), false), ("link.md".into(), true), ("linked".into(), true)]);
            for path in ["link.md", "linked/secret.md"] {
                let refused = read(folder.path(), path).unwrap();
                assert_eq!((refused.status, refused.body.len()), (422, 0), "{path}");
            }
        }
    }

    #[test]
    fn a_huge_file_has_a_problem_and_a_missing_folder_is_no_empty_one() {
        let folder = folder(&[("huge.md", &vec![b'x'; 1024 * 1024 + 1])]);
        assert_eq!(paths(&list(folder.path(), "", None).unwrap()), [("huge.md".into(), true)]);
        assert!(read(folder.path(), "huge.md").unwrap().header(PROBLEM).unwrap().contains("1024 KB"));
        let fault = list(&folder.path().join("none"), "", None).unwrap_err();
        assert!(!fault.is_retryable() && fault.what.contains("is not there"), "{fault}");
    }
}
