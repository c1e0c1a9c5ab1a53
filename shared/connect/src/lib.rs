//! The declarative connector engine: a manifest in YAML becomes a `teal::ports::Connector`.
//!
//! Owns the manifest's format, and judging what a source answers. Sends nothing, reads no clock, knows no
//! entity: requests are made here and sent by poll, records are taken out here and mapped by transform.
//!
//! Always holds: a manifest is checked whole when it is compiled, and everything that is wrong with it is
//! reported at once; no message of this crate holds a secret.

pub mod datetime;
pub mod decode;
pub mod dpath;
pub mod extract;
pub mod interpolate;
pub mod manifest_yaml;
pub mod normalize;
pub mod transform;
pub mod value;

pub mod auth;
pub mod budget;
pub mod cursor;
pub mod failure;
pub mod http;
pub mod load;
mod lookup;
pub mod node;
mod options;
pub mod paginate;
pub mod partition;
pub mod problem;
pub mod properties;
mod python;
pub mod read;
pub mod requester;
pub mod schema;
pub mod session;
pub mod source;

mod excerpt;
mod folder;

mod listing;
mod retry_after;

use std::sync::Arc;

use teal::ports::connector::{Connector, ConnectorConfig, ConnectorError, Connectors};

/// Compiles manifests of Airbyte's format, and the one of Teal's own for folders of Markdown.
#[derive(Clone, Copy, Debug, Default)]
pub struct ManifestConnectors;

impl Connectors for ManifestConnectors {
    fn compile(&self, manifest: &str, config: &ConnectorConfig) -> Result<Arc<dyn Connector>, ConnectorError> {
        if folder::is_meant(manifest) {
            return Ok(Arc::new(folder::MarkdownFolder::compile(manifest, config)?));
        }
        Ok(Arc::new(listing::Declarative::compile(manifest, config)?))
    }
}

#[cfg(test)]
mod tests;
