//! The engine against strings: what a manifest may say, what is asked, how answers are judged.
//! `against_the_stand_in` lists a whole source over HTTP.

mod against_the_stand_in;
mod answers;
mod manifests;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use teal::domain::{Millis, Mode, Secret, StreamName};
use teal::ports::connector::{Answer, Connector, ConnectorConfig, ConnectorError, Connectors};
use teal::ports::upstream::Response;

use crate::ManifestConnectors;

const KEY: &str = "k-secret-1";

/// 2026-01-02T00:00:00Z.
const NOW: Millis = Millis(1_767_312_000_000);

const MANIFEST: &str = include_str!("../../../../connectors/nowrep-blue.yaml");

fn config(base_url: &str) -> ConnectorConfig {
    ConnectorConfig {
        plain: json!({ "base_url": base_url, "region": "a/b" }),
        secrets: BTreeMap::from([("api_key".to_owned(), Secret::new(KEY))]),
    }
}

fn compile(manifest: &str) -> Result<Arc<dyn Connector>, ConnectorError> {
    ManifestConnectors.compile(manifest, &config("https://api.example.com/"))
}

fn connector() -> Arc<dyn Connector> {
    compile(MANIFEST).unwrap()
}

/// What is wrong with a manifest.
fn complaints(manifest: &str) -> Vec<String> {
    match compile(manifest) {
        Err(ConnectorError::Manifest(complaints)) => complaints,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("nothing was wrong"),
    }
}

fn begin(stream: &str) -> Value {
    connector().begin(&stream.into(), Mode::Full, None, NOW).unwrap()
}

fn response(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Response {
    Response {
        status,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Bytes::copy_from_slice(body.as_ref()),
    }
}

/// Judges an answer to the first request of a stream.
fn first(stream: &str, status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    connector().read(&StreamName::new(stream), &begin(stream), &response(status, headers, body))
}
