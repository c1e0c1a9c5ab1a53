//! States of streams that had one cursor a parent before states of partitions had a format of their own.

use crate::value::{Map, Value};

use crate::node::{Compiler, Node};

#[derive(Clone, Debug)]
pub struct LegacyToPerPartition {
    partition_field: String,
    cursor_field: String,
    is_possible: bool,
}

impl LegacyToPerPartition {
    /// `stream` is the component that the migration belongs to.
    pub fn compile(node: &Node, stream: &Node, cx: &mut Compiler) -> Option<Self> {
        let router = stream.get("retriever").and_then(|retriever| retriever.get("partition_router"));
        let (Some(router), Some(sync)) = (router, stream.get("incremental_sync")) else {
            cx.report(node, "LegacyToPerPartitionStateMigration is for streams with partitions and a cursor");
            return None;
        };
        let (field, is_possible) = match router.kind() {
            "UnionPartitionRouter" => (router.get("partition_field"), true),
            "SubstreamPartitionRouter" => {
                let parents = router.list("parent_stream_configs");
                (parents.first().and_then(|parent| parent.get("partition_field")), parents.len() == 1)
            }
            _ => {
                cx.report(node, "this migration needs a SubstreamPartitionRouter or a UnionPartitionRouter");
                return None;
            }
        };
        let parameters = stream.parameters();
        Some(Self {
            partition_field: cx.evaluate_text(&field?, &parameters)?,
            cursor_field: cx.evaluate_text(&sync.get("cursor_field")?, &parameters)?,
            is_possible,
        })
    }

    pub fn apply(&self, state: Value) -> Value {
        let Value::Object(members) = &state else { return state };
        let is_legacy =
            |value: &Value| value.as_object().is_some_and(|own| own.len() == 1 && own.contains_key(&self.cursor_field));
        if !self.is_possible || members.is_empty() || members.contains_key("states") || !members.values().all(is_legacy)
        {
            return state;
        }
        let states: Vec<Value> = (members.iter())
            .map(|(key, cursor)| {
                let partition = Map::from_iter([(self.partition_field.clone(), Value::from(key.as_str()))]);
                crate::json!({"partition": partition, "cursor": cursor})
            })
            .collect();
        crate::json!({ "states": states })
    }
}
