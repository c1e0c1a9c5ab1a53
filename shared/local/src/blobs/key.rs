//! Which keys there are, and how they become file names.
//!
//! Always holds: two keys never share a file, also where the file system takes upper and lower case for the
//! same; a file's name never is a directory's; every name can be turned back into its key.
//!
//! Lower-case letters, digits and `-_=+@,.` stay as they are, so that people can read the names. All else
//! becomes `%` and two hex digits. Files end in `.blob`; a directory that would, or that starts with a dot,
//! has that dot escaped.

use std::path::PathBuf;

use teal::ports::Fault;
use teal::ports::blobs::check_key;

/// What every file system of today takes as one name.
const MAX_NAME: usize = 255;

const SUFFIX: &str = ".blob";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckedKey(String);

impl CheckedKey {
    pub fn new(key: &str) -> Result<Self, Fault> {
        check_key(key)?;
        Ok(Self(key.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether each of its parts is short enough for a name. If not, the object is a row of any size.
    pub fn fits_a_file_system(&self) -> bool {
        self.names().iter().all(|name| name.len() <= MAX_NAME)
    }

    /// Relative to the directory of all blobs.
    pub fn path(&self) -> PathBuf {
        self.names().iter().collect()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.split('/').map(directory_name).collect();
        if let (Some(name), Some(part)) = (names.last_mut(), self.0.rsplit('/').next()) {
            *name = escape(part) + SUFFIX;
        }
        names
    }
}

/// The name of the directory for a part of a key that is not its last.
pub(super) fn directory_name(part: &str) -> String {
    let name = escape(part);
    match name.strip_suffix(SUFFIX) {
        Some(stem) => format!("{stem}%2eblob"),
        None => name,
    }
}

/// What a name in the blobs' directory stands for; `None` for names that are not ours.
pub(super) fn part_of(name: &str, is_directory: bool) -> Option<String> {
    let escaped = if is_directory { name } else { name.strip_suffix(SUFFIX)? };
    if escaped.starts_with('.') {
        return None;
    }
    let mut part = String::with_capacity(escaped.len());
    let mut rest = escaped.chars();
    while let Some(char) = rest.next() {
        if char == '%' {
            let hex: String = rest.by_ref().take(2).collect();
            part.push(char::from(u8::from_str_radix(&hex, 16).ok()?));
        } else {
            part.push(char);
        }
    }
    Some(part)
}

fn escape(part: &str) -> String {
    let mut name = String::with_capacity(part.len());
    for (index, char) in part.chars().enumerate() {
        let plain = char.is_ascii_lowercase() || char.is_ascii_digit() || "-_=+@,".contains(char);
        if plain || (char == '.' && index > 0) {
            name.push(char);
        } else {
            name.push_str(&format!("%{:02x}", u32::from(char)));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use teal::ports::fault::FaultKind;

    use super::*;

    #[test]
    fn keys_that_could_leave_the_directory_or_that_s3_would_mangle_are_refused_by_name() {
        let long = "x".repeat(901);
        for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "käse", "a\nb", "a\0b", "a\u{7f}", &long]
        {
            let fault = CheckedKey::new(bad).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Permanent, "{bad}");
        }
        assert!(CheckedKey::new("a/../b").unwrap_err().what.contains("'a/../b'"));
    }

    #[test]
    fn ordinary_keys_stay_readable_and_others_become_names_that_mean_only_them() {
        let path = |key: &str| CheckedKey::new(key).unwrap().path().to_str().unwrap().to_owned();
        assert_eq!(path("raw/-/-/blue/run/r1/talents/00000007-00ff"), "raw/-/-/blue/run/r1/talents/00000007-00ff.blob");
        assert_eq!(path("a/B c"), "a/%42%20c.blob");
        assert_eq!(path("a.blob/x"), "a%2eblob/x.blob");
        assert_eq!(path("a"), "a.blob");
        assert_eq!(path(".incoming/..x"), "%2eincoming/%2e.x.blob");
        assert_eq!(path(r"a\b:c%d"), "a%5cb%3ac%25d.blob");
    }

    #[test]
    fn every_name_leads_back_to_its_part() {
        let every: String = (' '..='~').filter(|char| *char != '/').collect();
        for part in [every.as_str(), "a.blob", ".x", "%2e", "x.tmp", "A", "a"] {
            assert_eq!(part_of(&directory_name(part), true).as_deref(), Some(part));
            assert_eq!(part_of(&(escape(part) + SUFFIX), false).as_deref(), Some(part));
        }
        assert_eq!(part_of(".incoming", true), None);
        assert_eq!(part_of("notes.txt", false), None);
        assert_eq!(part_of("a%zz.blob", false), None);
    }

    #[test]
    fn a_part_that_is_too_long_for_a_name_is_no_file() {
        assert!(CheckedKey::new(&"x".repeat(250)).unwrap().fits_a_file_system());
        assert!(!CheckedKey::new(&"x".repeat(251)).unwrap().fits_a_file_system());
        assert!(!CheckedKey::new(&format!("{}/x", "X".repeat(90))).unwrap().fits_a_file_system());
    }
}
