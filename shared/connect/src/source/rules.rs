//! What a specification does to a configuration: migrations, transformations, validations.

use crate::value::Value;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::interpolate::{Context, Template};
use crate::node::{Compiler, NoFiles, Node};
use crate::problem::Problem;
use crate::transform::ConfigTransformation;

#[derive(Debug, Default)]
pub struct Rules {
    migrations: Vec<ConfigTransformation>,
    transformations: Vec<ConfigTransformation>,
}

impl Rules {
    pub fn compile(spec: &Node, problems: &mut Vec<Problem>) -> Self {
        let config = std::sync::Arc::new(Value::Object(Default::default()));
        let (catalog, states) = Default::default();
        let now = Timestamp::UNIX_EPOCH;
        let mut cx = Compiler {
            config: &config,
            now,
            files: &NoFiles,
            catalog: &catalog,
            states: &states,
            problems: Vec::new(),
        };
        let mut out = Self::default();
        if let Some(rules) = spec.get("config_normalization_rules") {
            for migration in rules.list("config_migrations") {
                for change in migration.list("transformations") {
                    out.migrations.extend(compile(&change, &mut cx));
                }
            }
            for change in rules.list("transformations") {
                out.transformations.extend(compile(&change, &mut cx));
            }
        }
        problems.append(&mut cx.problems);
        out
    }

    pub fn migrate(&self, config: &mut Value, now: Timestamp) -> Result<(), Failure> {
        self.migrations.iter().try_for_each(|change| Ok(change.apply(config, &Context::new(now))?))
    }

    pub fn transform(&self, config: &mut Value, now: Timestamp) -> Result<(), Failure> {
        self.transformations.iter().try_for_each(|change| Ok(change.apply(config, &Context::new(now))?))
    }
}

fn compile(node: &Node, cx: &mut Compiler) -> Option<ConfigTransformation> {
    if node.kind().starts_with("Custom") {
        cx.unknown(node, "change of a configuration");
        return None;
    }
    cx.check(node, ConfigTransformation::compile(node.value))
}

/// Checks the configuration as the manifest's validations want it.
pub fn validate(root: &Value, config: &Value, now: Timestamp) -> Result<(), Failure> {
    let rules = Node::root(root).get("spec").and_then(|spec| spec.get("config_normalization_rules"));
    let Some(rules) = rules else { return Ok(()) };
    for node in rules.list("validations") {
        let strategy = node.get("validation_strategy");
        let Some(strategy) = strategy.filter(|strategy| strategy.kind() == "ValidateAdheresToSchema") else {
            return Err(Failure::system(format!("{}: only ValidateAdheresToSchema can validate", node.at)));
        };
        let schema = match strategy.value.get("base_schema") {
            Some(Value::String(text)) => {
                let text = Template::compile(text)?.render(&Context::new(now).with("config", config))?;
                match text {
                    Value::String(text) => serde_json::from_str(&text)
                        .map_err(|_| Failure::system(format!("{}: 'base_schema' is not JSON", strategy.at)))?,
                    other => other,
                }
            }
            Some(other) => other.clone(),
            None => Value::Object(Default::default()),
        };
        let values: Vec<Value> = match node.kind() {
            "DpathValidator" => {
                let path: Vec<String> =
                    node.list("field_path").iter().map(|n| crate::python::text_of(n.value)).collect();
                all_at(config, &path).into_iter().cloned().collect()
            }
            "PredicateValidator" => match node.value.get("value") {
                Some(Value::String(text)) => {
                    vec![Template::compile(text)?.render(&Context::new(now).with("config", config))?]
                }
                Some(other) => vec![other.clone()],
                None => Vec::new(),
            },
            other => return Err(Failure::system(format!("{}: '{other}' is no validator", node.at))),
        };
        for value in values {
            let value = match &value {
                Value::String(text) => serde_json::from_str(text)
                    .map_err(|_| Failure::system(format!("{}: the configuration's value is not JSON", node.at)))?,
                _ => value,
            };
            if let Err(error) = matches(&schema, &value) {
                return Err(Failure::system(format!("{}: the configuration is not as it must be: {error}", node.at)));
            }
        }
    }
    Ok(())
}

fn all_at<'a>(value: &'a Value, path: &[String]) -> Vec<&'a Value> {
    let Some((step, rest)) = path.split_first() else { return vec![value] };
    match value {
        Value::Object(members) if step == "*" => members.values().flat_map(|value| all_at(value, rest)).collect(),
        Value::Array(items) if step == "*" => items.iter().flat_map(|value| all_at(value, rest)).collect(),
        Value::Object(members) => members.get(step).map(|value| all_at(value, rest)).unwrap_or_default(),
        Value::Array(items) => {
            step.parse::<usize>().ok().and_then(|at| items.get(at)).map(|value| all_at(value, rest)).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Whether a value is as a JSON schema says. The message names the place and the rule, not the value.
pub fn matches(schema: &Value, value: &Value) -> Result<(), String> {
    if super::plain_schema::fits(schema, value) {
        return Ok(());
    }
    by_all_rules(schema, value)
}

pub(super) fn by_all_rules(schema: &Value, value: &Value) -> Result<(), String> {
    // A schema of a version that nobody knows is one of the newest.
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut()
        && !members
            .get("$schema")
            .and_then(Value::as_str)
            .is_some_and(|known| known.starts_with("http://json-schema.org/draft-0"))
    {
        members.remove("$schema");
    }
    let validator = jsonschema::options().should_validate_formats(false).build(&schema.into());
    let validator = validator.map_err(|error| format!("the schema can't be used: {}", error.masked()))?;
    validator.validate(&value.clone().into()).map_err(|error| {
        let at = error.instance_path.to_string();
        let error = error.masked();
        if at.is_empty() { error.to_string() } else { format!("{error} at '{at}'") }
    })
}
