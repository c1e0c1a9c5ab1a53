//! Query properties: which fields to ask for, and in how many requests.

use std::collections::BTreeSet;

use crate::value::{Map, Value};

use crate::failure::Failure;
use crate::node::{Compiler, Node};
use crate::source::stream::Stream;

#[derive(Debug)]
pub struct QueryProperties {
    pub list: List,
    always: Vec<String>,
    chunking: Option<Chunking>,
    /// The fields that the configured catalog wants.
    wanted: Option<BTreeSet<String>>,
}

#[derive(Debug)]
pub enum List {
    Fixed(Vec<String>),
    /// Asked for once, with a name for what it gives.
    Endpoint {
        id: String,
        path: Vec<String>,
        stream: std::sync::Arc<Stream>,
    },
}

#[derive(Debug)]
struct Chunking {
    counts_characters: bool,
    limit: usize,
    keys: Vec<String>,
}

impl QueryProperties {
    pub fn compile(node: &Node, stream: &str, cx: &mut Compiler) -> Option<Self> {
        let list = node.require("property_list", cx)?;
        let list = match list.value {
            Value::Array(_) => List::Fixed(node.texts("property_list", cx)),
            _ => Self::endpoint(&list, cx)?,
        };
        let wanted = match node.get("property_selector") {
            None => None,
            Some(selector) => match cx.catalog.schema(stream).cloned() {
                None => None,
                Some(schema) => {
                    let mut properties = schema.get("properties").cloned().unwrap_or_else(|| Value::Object(Map::new()));
                    for node in selector.list("transformations") {
                        let transformation = crate::transform::Transformation::compile(node.value);
                        let transformation = cx.check(&node, transformation)?;
                        let result = transformation.apply(&mut properties, &cx.context());
                        cx.check(&node, result)?;
                    }
                    Some(properties.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect())
                }
            },
        };
        let chunking = match node.get("property_chunking") {
            None => None,
            Some(chunking) => Some(Chunking::compile(&chunking, cx)?),
        };
        Some(Self { list, always: node.texts("always_include_properties", cx), chunking, wanted })
    }

    /// From the older place of the same.
    pub fn of_endpoint(node: &Node, cx: &mut Compiler) -> Option<Self> {
        Some(Self { list: Self::endpoint(node, cx)?, always: Vec::new(), chunking: None, wanted: None })
    }

    fn endpoint(node: &Node, cx: &mut Compiler) -> Option<List> {
        let retriever = node.require("retriever", cx)?;
        let parameters = node.parameters();
        let mut path = Vec::new();
        for step in node.list("property_field_path") {
            path.push(cx.evaluate_text(&step, &parameters)?);
        }
        let stream = Stream::of_retriever(&retriever, "dynamic_properties", true, cx)?;
        Some(List::Endpoint { id: crate::auth::identity(node, cx), path, stream: std::sync::Arc::new(stream) })
    }

    /// Which fields to ask for in each request.
    pub fn chunks(&self, fields: &[String]) -> Vec<Vec<String>> {
        let is_wanted = |field: &&String| self.wanted.as_ref().is_none_or(|wanted| wanted.contains(*field));
        let Some(chunking) = &self.chunking else {
            return vec![self.always.iter().chain(fields.iter().filter(is_wanted)).cloned().collect()];
        };
        if chunking.limit == 0 {
            return vec![fields.iter().chain(&self.always).cloned().collect()];
        }
        let mut out = vec![self.always.clone()];
        let mut size = 0;
        for field in fields.iter().filter(is_wanted) {
            let own = if chunking.counts_characters { field.chars().count() + 3 } else { 1 };
            if size + own > chunking.limit {
                out.push(self.always.clone());
                size = 0;
            }
            size += own;
            out.last_mut().into_iter().for_each(|chunk| chunk.push(field.clone()));
        }
        out
    }

    /// What says that two records are one; `None` when the record does not say, or nothing is merged.
    pub fn merge_key(&self, record: &Map) -> Option<String> {
        let chunking = self.chunking.as_ref()?;
        let values = chunking.keys.iter().map(|key| record.get(key).filter(|value| crate::python::is_truthy(value)));
        let values: Option<Vec<String>> = values.map(|value| value.map(crate::python::text_of)).collect();
        values.map(|values| values.join(","))
    }
}

impl Chunking {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let kind = node.require("property_limit_type", cx)?;
        let counts_characters = match kind.value.as_str() {
            Some("characters") => true,
            Some("property_count") => false,
            _ => {
                cx.report(&kind, "write characters or property_count");
                return None;
            }
        };
        let keys = node.get("record_merge_strategy").map(|strategy| strategy.texts("key", cx));
        Some(Self {
            counts_characters,
            limit: node.whole("property_limit", cx).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0),
            keys: keys.unwrap_or_else(|| vec!["id".to_owned()]),
        })
    }
}

/// Adds what another part of the same record has.
pub fn merge(record: &mut Map, other: Map) {
    for (name, value) in other {
        match (record.get_mut(&name), value) {
            (Some(Value::Object(mine)), Value::Object(value)) => merge(mine, value),
            (_, value) => drop(record.insert(name, value)),
        }
    }
}

/// The field that a record of the endpoint names.
pub fn field_of(record: &Value, path: &[String]) -> Result<String, Failure> {
    let field = crate::lookup::get(record, path).map(crate::python::text_of);
    field.ok_or_else(|| Failure::system(format!("a property has no name at '{}'", path.join("."))))
}
