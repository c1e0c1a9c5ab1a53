//! Partition routers: the parts that a stream is read in, from a list, from other streams, or combined.

mod position;
mod run;
mod substream;

use std::sync::Arc;

use crate::value::{Map, Value};
use serde::{Deserialize, Serialize};

pub use position::RouterPosition;
pub use run::RouterRun;

use crate::failure::Failure;
use crate::http::Parts;
use crate::interpolate::{Context, StreamSlice};
use crate::node::{Compiler, Node};
use crate::options::RequestOption;
use crate::source::stream::{self, Stream};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    pub values: Map,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map,
    /// The first answer of the partition's listing, which its parent had with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
}

#[derive(Debug)]
pub enum Router {
    Single,
    List { field: String, values: Vec<Value>, option: Option<RequestOption> },
    Substream { parents: Vec<Arc<Parent>> },
    Grouping { size: usize, deduplicates: bool, inner: Box<Router> },
    Union { field: String, routers: Vec<Router> },
    Product(Vec<Router>),
}

#[derive(Debug)]
pub struct Parent {
    pub stream: Arc<Stream>,
    pub key: Vec<String>,
    pub field: String,
    pub extra_fields: Vec<Vec<String>>,
    pub option: Option<RequestOption>,
    pub is_dependency: bool,
    pub answer_at: Vec<String>,
    /// The parent's state, from the child's.
    pub state: Value,
}

impl Router {
    /// `child` is the name of the stream that is read in these parts.
    pub fn compile(node: &Node, child: &str, cx: &mut Compiler) -> Option<Self> {
        if node.value.is_array() {
            let routers: Option<Vec<_>> = node.items().iter().map(|node| Self::compile(node, child, cx)).collect();
            return routers.map(Self::Product);
        }
        let parameters = node.parameters();
        match node.kind() {
            "ListPartitionRouter" => {
                let values = match node.required("values", &parameters, cx)? {
                    Value::Array(values) => values,
                    Value::String(text) => text.chars().map(|c| c.to_string().into()).collect(),
                    _ => {
                        cx.report_config(node, "'values' of a ListPartitionRouter must be a list");
                        return None;
                    }
                };
                let option = optional(node, cx)?;
                Some(Self::List { field: node.required_text("cursor_field", &parameters, cx)?, values, option })
            }
            "SubstreamPartitionRouter" => {
                let nodes = node.list("parent_stream_configs");
                if nodes.is_empty() {
                    cx.report(node, "SubstreamPartitionRouter needs at least one of 'parent_stream_configs'");
                }
                let parents: Option<Vec<_>> = nodes.iter().map(|node| Parent::compile(node, child, cx)).collect();
                Some(Self::Substream { parents: parents?.into_iter().map(Arc::new).collect() })
            }
            "GroupingPartitionRouter" => {
                let inner = {
                    let inner = node.require("underlying_partition_router", cx)?;
                    Self::compile(&inner, child, cx)?
                };
                let size = node.whole("group_size", cx).and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
                if size == 0 {
                    cx.report(node, "'group_size' must be 1 or more");
                }
                if inner.has_options() {
                    cx.report(node, "routers below a GroupingPartitionRouter can't have a request_option");
                }
                let deduplicates = node.get("deduplicate").is_none_or(|node| node.value != &Value::Bool(false));
                Some(Self::Grouping { size, deduplicates, inner: Box::new(inner) })
            }
            "UnionPartitionRouter" => {
                let nodes = node.list("partition_routers");
                if nodes.len() < 2 {
                    cx.report(node, "UnionPartitionRouter needs at least two of 'partition_routers'");
                }
                let routers: Option<Vec<_>> = nodes.iter().map(|node| Self::compile(node, child, cx)).collect();
                let field = node.required_text("partition_field", &parameters, cx)?;
                let routers = routers?;
                for router in &routers {
                    if router.has_options() {
                        cx.report(node, "routers below a UnionPartitionRouter can't have a request_option");
                    }
                    if router.fields().iter().any(|known| *known != field) {
                        let text = format!("every router of a UnionPartitionRouter must give the field '{field}'");
                        cx.report(node, text);
                    }
                }
                Some(Self::Union { field, routers })
            }
            _ => {
                cx.unknown(node, "partition router");
                None
            }
        }
    }

    pub fn is_single(&self) -> bool {
        matches!(self, Self::Single)
    }

    fn has_options(&self) -> bool {
        match self {
            Self::List { option, .. } => option.is_some(),
            Self::Substream { parents } => parents.iter().any(|parent| parent.option.is_some()),
            _ => false,
        }
    }

    fn fields(&self) -> Vec<&str> {
        match self {
            Self::List { field, .. } | Self::Union { field, .. } => vec![field],
            Self::Substream { parents } => parents.iter().map(|parent| parent.field.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether parents bring the first answer of their children's listings.
    pub fn is_lazy(&self) -> bool {
        matches!(self, Self::Substream { parents } if parents.iter().any(|parent| !parent.answer_at.is_empty()))
    }

    /// The streams that partitions come from.
    pub fn parents(&self) -> Vec<&Stream> {
        match self {
            Self::Single | Self::List { .. } => Vec::new(),
            Self::Substream { parents } => parents.iter().map(|parent| parent.stream.as_ref()).collect(),
            Self::Grouping { inner, .. } => inner.parents(),
            Self::Union { routers, .. } | Self::Product(routers) => routers.iter().flat_map(Self::parents).collect(),
        }
    }

    /// The names of all streams above.
    pub fn ancestors(&self) -> Vec<String> {
        let parents = self.parents();
        parents
            .iter()
            .flat_map(|parent| std::iter::once(parent.name.clone()).chain(parent.router().ancestors()))
            .collect()
    }

    /// What the router adds to a request of a slice.
    pub fn inject(&self, slice: &StreamSlice, parts: &mut Parts, cx: &Context) -> Result<(), Failure> {
        let put = |field: &str, option: &Option<RequestOption>, parts: &mut Parts| match option {
            Some(option) => match slice.partition().get(field).filter(|value| crate::python::is_truthy(value)) {
                Some(value) => option.inject(value.clone(), parts, cx),
                None => Ok(()),
            },
            None => Ok(()),
        };
        match self {
            Self::List { field, option, .. } => put(field, option, parts),
            Self::Substream { parents } => {
                parents.iter().try_for_each(|parent| put(&parent.field, &parent.option, parts))
            }
            // Where two want the same place, the first has it.
            Self::Product(routers) => routers.iter().rev().try_for_each(|router| router.inject(slice, parts, cx)),
            Self::Single | Self::Grouping { .. } | Self::Union { .. } => Ok(()),
        }
    }
}

fn optional(node: &Node, cx: &mut Compiler) -> Option<Option<RequestOption>> {
    match node.get("request_option") {
        Some(option) => RequestOption::compile(&option, cx).map(Some),
        None => Some(None),
    }
}

impl Parent {
    fn compile(node: &Node, child: &str, cx: &mut Compiler) -> Option<Self> {
        let parameters = node.parameters();
        let component = node.require("stream", cx)?;
        let is_dependency = node.flag("incremental_dependency");
        let name = stream::name_of(&component);
        let own = cx.states.get(child).cloned().unwrap_or(Value::Null);
        let state = match is_dependency {
            true => parent_state(&own, &name, &component, cx),
            false => Value::Null,
        };
        let stream = Stream::compile_with_state(&component, &state, cx)?;
        let key = node.required_text("parent_key", &parameters, cx)?;
        let mut extra_fields = Vec::new();
        for path in node.list("extra_fields") {
            let steps: Option<Vec<_>> = path.items().iter().map(|step| cx.evaluate_text(step, &parameters)).collect();
            extra_fields.push(steps?);
        }
        let mut answer_at = Vec::new();
        for step in node.list("lazy_read_pointer") {
            answer_at.push(cx.evaluate_text(&step, &parameters)?);
        }
        if answer_at.iter().any(|step| step.contains('*')) {
            cx.report(node, "'lazy_read_pointer' must name one place; it can't have a '*'");
        }
        Some(Self {
            stream: Arc::new(stream),
            key: key.split('/').map(str::to_owned).collect(),
            field: node.required_text("partition_field", &parameters, cx)?,
            extra_fields,
            option: optional(node, cx)?,
            is_dependency,
            answer_at,
            state,
        })
    }
}

/// What a child's state, of any age, says of its parent.
fn parent_state(child: &Value, parent: &str, component: &Node, cx: &mut Compiler) -> Value {
    let Some(members) = child.as_object().filter(|members| !members.is_empty()) else { return Value::Null };
    if let Some(state) = members.get("parent_state").and_then(|parents| parents.get(parent)) {
        return state.clone();
    }
    if let Some(state) = members.get("state") {
        return state.clone();
    }
    let values: Vec<&Value> = members.iter().filter(|(name, _)| *name != stream::NO_CURSOR).map(|(_, v)| v).collect();
    let [value @ (Value::String(_) | Value::Number(_))] = values[..] else { return Value::Null };
    let Some(sync) = component.get("incremental_sync") else { return Value::Null };
    let Some(field) = sync.get("cursor_field") else { return Value::Null };
    let field = cx.evaluate_text(&field, &sync.parameters()).unwrap_or_default();
    Value::Object(Map::from_iter([(field, value.clone())]))
}
