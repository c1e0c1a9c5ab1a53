//! Everything a configuration consists of, as one content-addressed object.
//!
//! Layout of its blob: `config/{hash}`, JSON `{"files": {path: text}, "env": {name: value}}`, keys sorted.
//! Holds no secret: `${secret:name}` stays a reference in the files.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::jq::Program;
use super::load::{load_as, variables};
use super::problem::{Problem, Problems};
use super::yaml::{self, Content, Entry, Node};
use crate::domain::ConfigHash;

/// The path under which a bundle keeps the system's own file.
pub const ROOT: &str = "teal.yaml";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// `teal.yaml` and every file that it names, by the path that it names them with.
    pub files: BTreeMap<String, String>,
    /// Values of the `${NAME}`s that occur in it.
    pub env: BTreeMap<String, String>,
}

impl Bundle {
    /// Gathers what the `teal.yaml` at `root` consists of: itself, the files that it names, and the values of
    /// the variables that occur in it. Connector paths are relative to the folder of `root`.
    ///
    /// A file that can't be read is a problem at the place that names it; then everything else that is wrong
    /// is reported along with it. Otherwise the bundle need not be right: that is for loading it to say.
    pub fn collect(
        root: &str,
        mut read: impl FnMut(&str) -> io::Result<String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let text = read(root).map_err(|error| Problems(vec![unreadable(root, None, root, &error)]))?;
        let mut bundle = Self { files: BTreeMap::from([(ROOT.to_owned(), text.clone())]), env: BTreeMap::new() };
        let mut problems = Vec::new();
        if let (Some(tree), _) = yaml::parse(root, &text) {
            for name in variables::names(&tree) {
                if let Some(value) = env(&name) {
                    bundle.env.insert(name, value);
                }
            }
            for (source, connector) in connectors(&tree) {
                let Content::Scalar(scalar) = &connector.content else { continue };
                let name = variables::fill_text(&scalar.text, &bundle.env);
                if name.is_empty() || bundle.files.contains_key(&name) {
                    continue;
                }
                let file = Path::new(root).parent().unwrap_or(Path::new("")).join(&name);
                match read(&file.to_string_lossy()) {
                    Ok(manifest) => {
                        bundle.files.insert(name, manifest);
                    }
                    Err(error) => {
                        let place = (connector, format!("sources.{source}.connector"), text.as_str());
                        problems.push(unreadable(root, Some(place), &name, &error));
                    }
                }
            }
        }
        if problems.is_empty() {
            return Ok(bundle);
        }
        if let Err(Problems(others)) = load_as(root, &bundle, Program::compile) {
            let known: Vec<(usize, usize)> = problems.iter().map(|p| (p.line, p.column)).collect();
            problems.extend(others.into_iter().filter(|p| !known.contains(&(p.line, p.column))));
        }
        problems.sort_by_key(|p| (p.line, p.column));
        Err(Problems(problems))
    }

    #[must_use]
    pub fn hash(&self) -> ConfigHash {
        ConfigHash::new(format!("{:x}", Sha256::digest(self.encode())))
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a bundle has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    #[must_use]
    pub fn blob_key(hash: &ConfigHash) -> String {
        format!("config/{hash}")
    }
}

/// Each source's name with its connector's value.
fn connectors(tree: &Node) -> Vec<(&str, &Node)> {
    let mut out = Vec::new();
    for sources in members(tree).iter().filter(|entry| entry.key == "sources") {
        for source in members(&sources.value) {
            for connector in members(&source.value).iter().filter(|entry| entry.key == "connector") {
                out.push((source.key.as_str(), &connector.value));
            }
        }
    }
    out
}

fn members(node: &Node) -> &[Entry] {
    match &node.content {
        Content::Map(entries) => entries,
        _ => &[],
    }
}

/// `place` is the value that names the file, its path in the document and the document's text.
fn unreadable(root: &str, place: Option<(&Node, String, &str)>, name: &str, error: &io::Error) -> Problem {
    let (line, column, path, excerpt) = match place {
        Some((node, path, text)) => {
            let line = text.lines().nth(node.at.line.saturating_sub(1)).map(str::to_owned);
            (node.at.line, node.at.column, path, line)
        }
        None => (0, 0, String::new(), None),
    };
    let help = match (error.kind(), line) {
        (io::ErrorKind::NotFound, 0) => "create it, or name another file or folder",
        (io::ErrorKind::NotFound, _) => "write the path of a connector manifest, relative to teal.yaml",
        (io::ErrorKind::InvalidData, _) => "the file must be text in UTF-8",
        _ => "make the file readable for the user that runs Teal",
    };
    Problem {
        file: root.to_owned(),
        line,
        column,
        path,
        message: format!("the file '{name}' can't be read: {error}"),
        help: help.to_owned(),
        excerpt,
    }
}
