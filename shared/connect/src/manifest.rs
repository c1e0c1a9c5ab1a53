//! The manifest of a `json-http` connector, checked and filled in with the source's config.
//!
//! ```yaml
//! type: json-http
//! base_url: "{base_url}"               # {name}: a member of the source's config
//! auth: { bearer: api_key }            # a member that is a secret; or { header: x-api-key, secret: api_key }
//! streams:
//!   talents:
//!     path: /api/talents               # may hold {name}s too
//!     query: { expand: all }           # always sent
//!     records: data                    # where the list is; '.' when the answer is the list
//!     error: error                     # a member that is there only in failures
//!     pages: { style: page, param: page, first: 1, size_param: per_page, size: 100, total_pages: meta.pages,
//!              total: meta.total }     # a total that falls meanwhile: the pages that moved are read again
//!     since: { param: updated_since, cursor: updatedAt, lookback: 60s }
//! ```
//!
//! `pages` is `{ style: page, … }`, `{ style: cursor, param, next, size_param, size }`, or left out when one
//! answer holds everything. `since` is left out when a stream can't say what changed; its `cursor` names the
//! member that the source filters by, and is there for whoever reads the manifest.

use std::collections::BTreeMap;
use std::time::Duration;

use teal::domain::{Secret, StreamName};
use teal::ports::connector::ConnectorConfig;

use crate::form::Form;
use crate::pages::Pages;
use crate::path::Dotted;
use crate::yaml::{self, Complaints, Kind, Node};
use crate::{template, url};

#[derive(Debug)]
pub struct Manifest {
    pub auth: Option<Auth>,
    pub streams: BTreeMap<StreamName, Stream>,
}

#[derive(Debug)]
pub struct Auth {
    pub header: String,
    /// What the header says, scheme included.
    pub value: Secret,
    /// The bare secret, to keep it out of messages.
    pub secret: Secret,
    /// Where the secret comes from, for messages.
    pub member: String,
}

#[derive(Debug)]
pub struct Stream {
    pub url: String,
    pub query: Vec<(String, String)>,
    pub records: Dotted,
    pub error: Option<Dotted>,
    pub pages: Pages,
    pub since: Option<Since>,
}

#[derive(Debug)]
pub struct Since {
    pub param: String,
    /// How far before the start of a listing the next one begins: for clocks that differ, and for changes
    /// that become visible late.
    pub lookback: Duration,
}

const DEFAULT_LOOKBACK: Duration = Duration::from_secs(60);

/// Everything that is wrong, or the manifest.
pub fn read(text: &str, config: &ConnectorConfig) -> Result<Manifest, Vec<String>> {
    let mut complaints = Complaints::default();
    let manifest = match yaml::parse(text, &mut complaints) {
        Ok(root) => manifest(&root, config, &mut complaints),
        Err(error) => {
            complaints.0.push(error);
            None
        }
    };
    match manifest {
        Some(manifest) if complaints.0.is_empty() => Ok(manifest),
        _ => Err(complaints.0),
    }
}

fn manifest(root: &Node, config: &ConnectorConfig, complaints: &mut Complaints) -> Option<Manifest> {
    let mut form = Form::open("the manifest", root, complaints)?;
    if let Some((kind, at)) = form.required_text("type")
        && kind != "json-http"
    {
        form.complaints.add(at, format_args!("there is no connector type '{kind}'; write 'json-http'"));
        return None;
    }
    let base = form.required_text("base_url");
    let base = base.and_then(|(text, at)| match base_url(&text, config) {
        Ok(base) => Some(base),
        Err(wrong) => {
            form.complaints.add(at, format_args!("base_url: {wrong}"));
            None
        }
    });
    let auth = form.take("auth");
    let auth = auth.map(|node| auth_of(node, config, form.complaints));
    let streams = form.require("streams");
    // With a base that is wrong, the streams are still read for what is wrong with them.
    let streams =
        streams.and_then(|node| streams_of(node, base.as_deref().unwrap_or_default(), config, form.complaints));
    form.done();
    Some(Manifest { auth: auth.flatten(), streams: streams? })
}

fn base_url(text: &str, config: &ConnectorConfig) -> Result<String, String> {
    let filled = template::fill(text, config, str::to_owned)?;
    let filled = filled.trim_end_matches('/');
    let parsed: http::Uri = filled.parse().map_err(|_| format!("'{filled}' is not a URL"))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none_or(str::is_empty) {
        return Err(format!("'{filled}' must be a whole URL such as 'https://api.example.com'"));
    }
    if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("a URL must not hold a user or password; use 'auth'".to_owned());
    }
    if filled.contains(['?', '#']) {
        return Err(format!("'{filled}' must end before any '?' or '#'; use 'query' of a stream"));
    }
    Ok(filled.to_owned())
}

fn auth_of(node: &Node, config: &ConnectorConfig, complaints: &mut Complaints) -> Option<Auth> {
    let mut form = Form::open("'auth'", node, complaints)?;
    let bearer = form.text("bearer");
    let header = form.text("header");
    let secret = form.text("secret");
    let (header, prefix, (member, at)) = match (bearer, header, secret) {
        (Some(member), None, None) => ("authorization".to_owned(), "Bearer ", member),
        (None, Some((header, at)), Some(member)) => {
            let Ok(header) = http::HeaderName::from_bytes(header.as_bytes()) else {
                form.complaints.add(at, format_args!("'{header}' can't be the name of a header"));
                return None;
            };
            (header.to_string(), "", member)
        }
        _ => {
            form.complaints
                .add(node.at, "'auth' must be { bearer: NAME } or { header: HEADER, secret: NAME }, NAME in config");
            form.done();
            return None;
        }
    };
    let auth = match config.secrets.get(&member) {
        Some(secret) => {
            let value = format!("{prefix}{}", secret.expose());
            if http::HeaderValue::from_str(&value).is_err() {
                form.complaints.add(
                    at,
                    format_args!("the secret '{member}' can't be sent in a header; look for a line break at its end"),
                );
            }
            Some(Auth { header, value: Secret::new(value), secret: secret.clone(), member })
        }
        None => {
            form.complaints.add(
                at,
                format_args!(
                    "'{member}' must be a secret of the source's config; write {member}: \"${{secret:NAME}}\" in teal.yaml"
                ),
            );
            None
        }
    };
    form.done();
    auth
}

fn streams_of(
    node: &Node,
    base: &str,
    config: &ConnectorConfig,
    complaints: &mut Complaints,
) -> Option<BTreeMap<StreamName, Stream>> {
    let Kind::Map(members) = &node.kind else {
        complaints.add(node.at, "'streams' must be a map from a stream's name to how it is listed");
        return None;
    };
    if members.is_empty() {
        complaints.add(node.at, "'streams' is empty; name at least one");
    }
    let mut streams = BTreeMap::new();
    for (name, at, node) in members {
        if !is_stream_name(name) {
            complaints.add(
                *at,
                format_args!(
                    "'{name}' can't be a stream's name; use at most 48 of a-z, 0-9, '_' and '-', a letter first"
                ),
            );
        }
        if let Some(stream) = stream_of(name, node, base, config, complaints) {
            streams.insert(StreamName::new(name), stream);
        }
    }
    Some(streams)
}

fn is_stream_name(name: &str) -> bool {
    name.len() <= 48
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}

fn stream_of(
    name: &str,
    node: &Node,
    base: &str,
    config: &ConnectorConfig,
    complaints: &mut Complaints,
) -> Option<Stream> {
    let mut form = Form::open(format!("stream '{name}'"), node, complaints)?;
    let url = form.required_text("path").and_then(|(path, at)| {
        let filled = template::fill(&path, config, url::encode);
        match filled {
            Ok(filled) if !filled.starts_with('/') || filled.contains(['?', '#', ' ']) => {
                form.complaints
                    .add(at, format_args!("'path' must start with '/' and hold no '?', '#' or space: '{filled}'"));
                None
            }
            Ok(filled) => Some(format!("{base}{filled}")),
            Err(wrong) => {
                form.complaints.add(at, format_args!("path: {wrong}"));
                None
            }
        }
    });
    let query = form.take("query").map(|node| query_of(node, config, form.complaints));
    let records = form.required_path("records");
    let error = form.path("error");
    let pages = form.take("pages").map_or(Some(Pages::One), |node| Pages::read(node, form.complaints));
    let since = form.take("since").map(|node| since_of(node, form.complaints));
    form.done();
    let since = match since {
        Some(since) => Some(since?),
        None => None,
    };
    Some(Stream { url: url?, query: query.unwrap_or_default(), records: records?, error, pages: pages?, since })
}

fn query_of(node: &Node, config: &ConnectorConfig, complaints: &mut Complaints) -> Vec<(String, String)> {
    let Kind::Map(members) = &node.kind else {
        complaints.add(node.at, "'query' must be a map from names to values");
        return Vec::new();
    };
    let mut query = Vec::new();
    for (name, _, node) in members {
        match &node.kind {
            Kind::Scalar { text, .. } => match template::fill(text, config, str::to_owned) {
                Ok(value) => query.push((name.clone(), value)),
                Err(wrong) => complaints.add(node.at, format_args!("query '{name}': {wrong}")),
            },
            _ => complaints.add(node.at, format_args!("query '{name}' must be a text or a number")),
        }
    }
    query
}

fn since_of(node: &Node, complaints: &mut Complaints) -> Option<Since> {
    let mut form = Form::open("'since'", node, complaints)?;
    let param = form.required_text("param");
    form.path("cursor");
    let lookback = form.span("lookback").unwrap_or(DEFAULT_LOOKBACK);
    form.done();
    Some(Since { param: param?.0, lookback })
}
