//! What a source must be told: its specification, from the manifest or from a file beside it.

use crate::value::{Map, Value};

use crate::failure::Failure;
use crate::node::{Files, Node};
use crate::problem::Problem;
use crate::source::rules;

/// Members of a configuration that belong to the platform.
const PLATFORM: [&str; 2] = ["_limit", "_page_size"];
const KNOWN: [&str; 10] = [
    "connectionSpecification",
    "documentationUrl",
    "changelogUrl",
    "supportsIncremental",
    "supportsNormalization",
    "supportsDBT",
    "supported_destination_sync_modes",
    "authSpecification",
    "advanced_auth",
    "protocol_version",
];
const OAUTH: [&str; 5] = [
    "oauth_user_input_from_connector_config_specification",
    "oauth_connector_input_specification",
    "complete_oauth_output_specification",
    "complete_oauth_server_input_specification",
    "complete_oauth_server_output_specification",
];

#[derive(Clone, Debug)]
pub struct Spec {
    /// As the protocol prints it.
    pub message: Value,
}

impl Spec {
    pub fn read(root: &Value, files: &dyn Files, problems: &mut Vec<Problem>) -> Option<Self> {
        let node = Node::root(root);
        let Some(spec) = node.get("spec") else { return Self::of_file(files, problems) };
        let Some(connection) = spec.get("connection_specification").filter(|node| node.value.is_object()) else {
            problems.push(Problem::manifest(&spec.at, "a Spec needs 'connection_specification'"));
            return None;
        };
        let mut message = Map::new();
        message.insert("connectionSpecification".to_owned(), without_nulls(connection.value));
        if let Some(url) = spec.get("documentation_url") {
            message.insert("documentationUrl".to_owned(), url.value.clone());
        }
        if let Some(auth) = spec.get("advanced_auth") {
            let mut out = Map::new();
            for name in ["auth_flow_type", "predicate_key", "predicate_value"] {
                out.extend(auth.get(name).map(|node| (name.to_owned(), node.value.clone())));
            }
            if let Some(oauth) = auth.get("oauth_config_specification") {
                let members =
                    OAUTH.iter().filter_map(|name| Some(((*name).to_owned(), without_nulls(oauth.get(name)?.value))));
                out.insert("oauth_config_specification".to_owned(), members.collect());
            }
            message.insert("advanced_auth".to_owned(), out.into());
        }
        Some(Self::of(message))
    }

    fn of_file(files: &dyn Files, problems: &mut Vec<Problem>) -> Option<Self> {
        let yaml = files.read("spec.yaml");
        let json = files.read("spec.json");
        let read: Result<Value, String> = match (yaml, json) {
            (Some(_), Some(_)) => Err("there is a spec.yaml and a spec.json beside the manifest; keep one".to_owned()),
            (Some(text), None) => {
                crate::manifest_yaml::load(&text).map(|doc| doc.value).map_err(|e| format!("spec.yaml: {e}"))
            }
            (None, Some(text)) => serde_json::from_str(&text).map_err(|error| format!("spec.json: {error}")),
            (None, None) => {
                Err("there is no 'spec' in the manifest, and no spec.yaml or spec.json beside it".to_owned())
            }
        };
        match read {
            Ok(Value::Object(members)) if members.contains_key("connectionSpecification") => {
                let mut members = members;
                members.retain(|name, value| KNOWN.contains(&name) && !value.is_null());
                Some(Self::of(members))
            }
            Ok(_) => {
                problems.push(Problem::manifest("spec", "the specification has no 'connectionSpecification'"));
                None
            }
            Err(why) => {
                problems.push(Problem::manifest("spec", why));
                None
            }
        }
    }

    fn of(mut message: Map) -> Self {
        for name in ["supportsNormalization", "supportsDBT"] {
            message.entry(name).or_insert(Value::Bool(false));
        }
        Self { message: message.into() }
    }

    pub fn connection(&self) -> &Value {
        &self.message["connectionSpecification"]
    }

    /// Whether a configuration is as the specification says.
    pub fn validate(&self, config: &Value) -> Result<(), Failure> {
        let mut config = config.clone();
        if let Some(members) = config.as_object_mut() {
            members.retain(|name, _| !PLATFORM.contains(&name));
        }
        rules::matches(self.connection(), &config)
            .map_err(|error| Failure::config(format!("the configuration is not as the specification says: {error}")))
    }
}

/// Without members that are null, at the first level.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect()
        }
        other => other.clone(),
    }
}
