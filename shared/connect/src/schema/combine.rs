//! Schemas put together.

use crate::value::{Map, Value, json};

/// The properties of all schemas in one; of equal names the first counts.
#[must_use]
pub fn combine<'s>(schemas: impl IntoIterator<Item = &'s Value>) -> Value {
    let mut properties = Map::new();
    for schema in schemas {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if !properties.contains_key(name) {
                properties.insert(name.clone(), property.clone());
            }
        }
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": ["null", "object"],
        "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_properties_the_first_counts() {
        let one = json!({ "properties": { "a": { "type": "string" } } });
        let two = json!({ "properties": { "a": { "type": "integer" }, "b": {} } });
        let combined = combine([&one, &json!({}), &two]);
        assert_eq!(combined["properties"], json!({ "a": { "type": "string" }, "b": {} }));
    }
}
