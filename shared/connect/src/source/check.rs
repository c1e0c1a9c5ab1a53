//! What a manifest's `check` wants tried.

use crate::value::{Map, Value};

use crate::failure::Failure;
use crate::node::Node;
use crate::problem::Problem;

#[derive(Clone, Debug)]
pub struct Check {
    /// Streams that must be there and answer.
    pub streams: Vec<String>,
    /// How many streams of a dynamic definition must answer; all when it does not say.
    pub definitions: Vec<(String, Option<usize>)>,
    /// So many streams, whichever they are.
    pub first: Option<usize>,
    /// Whether streams are asked at all.
    pub asks: bool,
    pub overrides: Map,
}

impl Check {
    pub fn read(root: &Value, config: &Value) -> Result<Self, Vec<Problem>> {
        let node = Node::root(root);
        let Some(check) = node.get("check") else {
            return Err(vec![Problem::manifest("", "a manifest needs 'check'")]);
        };
        let overrides = check.get("config_overrides").and_then(|node| node.object().cloned()).unwrap_or_default();
        let count = |node: &Node| {
            node.get("stream_count").and_then(|node| node.value.as_u64()).and_then(|count| usize::try_from(count).ok())
        };
        match check.kind() {
            "" | "CheckStream" => {
                if check.get("stream_names").is_none() && check.get("dynamic_streams_check_configs").is_none() {
                    return Err(vec![Problem::manifest(&check.at, "CheckStream needs 'stream_names'")]);
                }
                let chosen = config.get("__airbyte_check_stream_names").filter(|names| crate::python::is_truthy(names));
                let names = chosen.cloned().or_else(|| check.get("stream_names").map(|node| node.value.clone()));
                let names = names.as_ref().and_then(Value::as_array).into_iter().flatten();
                let definitions = check.list("dynamic_streams_check_configs");
                let definitions = definitions.iter().map(|node| {
                    (node.value.get("dynamic_stream_name").map(crate::python::text_of).unwrap_or_default(), count(node))
                });
                Ok(Self {
                    streams: names.map(crate::python::text_of).collect(),
                    definitions: definitions.collect(),
                    first: None,
                    asks: true,
                    overrides,
                })
            }
            "CheckDynamicStream" => Ok(Self {
                streams: Vec::new(),
                definitions: Vec::new(),
                first: Some(count(&check).unwrap_or(1)),
                asks: check.get("use_check_availability").is_none_or(|node| node.value != &Value::Bool(false)),
                overrides,
            }),
            other => Err(vec![Problem::manifest(&check.at, format_args!("'{other}' is no check"))]),
        }
    }

    /// Refuses overrides that belong to the platform, or that a renewed token would make permanent.
    pub fn review(&self, root: &Value) -> Result<(), Failure> {
        if self.overrides.is_empty() {
            return Ok(());
        }
        if self.overrides.keys().any(|name| name.starts_with("__airbyte")) {
            return Err(Failure::system("'config_overrides' of the check can't set members that begin with __airbyte"));
        }
        if writes_config(root) {
            return Err(Failure::system(
                "'config_overrides' can't be used with a refresh_token_updater: they would be kept",
            ));
        }
        Ok(())
    }
}

fn writes_config(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.get("refresh_token_updater").is_some_and(|updater| !updater.is_null())
                || members.values().any(writes_config)
        }
        Value::Array(items) => items.iter().any(writes_config),
        _ => false,
    }
}
