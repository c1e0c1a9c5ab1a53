//! What many simulations share because it is the same in all of them: configurations and what they compile to.

use std::collections::BTreeMap;
use std::sync::Arc;

use teal::config::Bundle;
use teal::domain::ConfigHash;
use teal::pipeline::Compiled;
use teal::ports::Connectors;

use super::system::{Mapping, Shape, bundle};

pub struct Library {
    pub connectors: Arc<dyn Connectors>,
    pub compiled: Arc<Compiled>,
    shapes: BTreeMap<Shape, Arc<Configurations>>,
}

pub struct Configurations {
    pub bundles: BTreeMap<Mapping, Bundle>,
    pub mappings: Arc<BTreeMap<ConfigHash, Mapping>>,
}

impl Library {
    #[must_use]
    pub fn new(connectors: Arc<dyn Connectors>) -> Self {
        Self { connectors, compiled: Arc::default(), shapes: BTreeMap::new() }
    }

    pub fn configurations(&mut self, shape: Shape) -> Arc<Configurations> {
        let made = self.shapes.entry(shape).or_insert_with(|| {
            let bundles: BTreeMap<Mapping, Bundle> =
                Mapping::ALL.into_iter().map(|mapping| (mapping, bundle(mapping, shape))).collect();
            let mappings = bundles.iter().map(|(mapping, bundle)| (bundle.hash(), *mapping)).collect();
            Arc::new(Configurations { bundles, mappings: Arc::new(mappings) })
        });
        made.clone()
    }
}
