//! What a specification does to a configuration: migrations, transformations, validations.

use jiff::Timestamp;
use serde_json::Value;

use crate::failure::Failure;
use crate::interpolate::{Context, Template, TemplatedMap, ValueType};
use crate::node::{Compiler, NoFiles, Node};
use crate::problem::Problem;

#[derive(Debug, Default)]
pub struct Rules {
    migrations: Vec<Change>,
    transformations: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Remap { path: Vec<Template>, map: TemplatedMap },
    Add { fields: Vec<(Vec<String>, Template, Option<ValueType>)>, condition: Option<Template> },
    Remove { pointers: Vec<Vec<String>>, condition: Option<Template> },
}

impl Rules {
    pub fn compile(spec: &Node, problems: &mut Vec<Problem>) -> Self {
        let config = std::sync::Arc::new(Value::Object(Default::default()));
        let (catalog, states) = Default::default();
        let now = Timestamp::UNIX_EPOCH;
        let mut cx =
            Compiler { config: &config, now, files: &NoFiles, catalog: &catalog, states: &states, problems: Vec::new() };
        let mut out = Self::default();
        if let Some(rules) = spec.get("config_normalization_rules") {
            for migration in rules.list("config_migrations") {
                for change in migration.list("transformations") {
                    out.migrations.extend(Change::compile(&change, &mut cx));
                }
            }
            for change in rules.list("transformations") {
                out.transformations.extend(Change::compile(&change, &mut cx));
            }
        }
        problems.append(&mut cx.problems);
        out
    }

    pub fn migrate(&self, config: &mut Value, now: Timestamp) -> Result<(), Failure> {
        self.migrations.iter().try_for_each(|change| change.apply(config, now))
    }

    pub fn transform(&self, config: &mut Value, now: Timestamp) -> Result<(), Failure> {
        self.transformations.iter().try_for_each(|change| change.apply(config, now))
    }
}

impl Change {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let condition = node.template("condition", cx).filter(|condition| !condition.text().is_empty());
        Some(match node.kind() {
            "ConfigRemapField" => {
                let map = node.require("map", cx)?;
                let Some(members) = map.object() else {
                    cx.report(&map, "'map' must be a map from old values to new ones");
                    return None;
                };
                let path = node.templates("field_path", cx);
                if path.is_empty() {
                    cx.report(node, "'field_path' must not be empty");
                    return None;
                }
                Self::Remap { path, map: cx.check(&map, TemplatedMap::compile(members, &node.parameters()))? }
            }
            "ConfigAddFields" => {
                let mut fields = Vec::new();
                for field in node.list("fields") {
                    let kind = match field.text("value_type", cx) {
                        Some("string") => Some(ValueType::String),
                        Some("number") => Some(ValueType::Number),
                        Some("integer") => Some(ValueType::Integer),
                        Some("boolean") => Some(ValueType::Boolean),
                        _ => None,
                    };
                    fields.push((field.texts("path", cx), field.require_template("value", cx)?, kind));
                }
                Self::Add { fields, condition }
            }
            "ConfigRemoveFields" => {
                let pointers = node.list("field_pointers");
                let pointers = pointers.iter().map(|pointer| {
                    pointer.items().iter().map(|step| crate::python::text_of(step.value)).collect()
                });
                Self::Remove { pointers: pointers.collect(), condition }
            }
            _ => {
                cx.unknown(node, "change of a configuration");
                return None;
            }
        })
    }

    fn apply(&self, config: &mut Value, now: Timestamp) -> Result<(), Failure> {
        let seen = config.clone();
        let cx = Context::new(now).with("config", &seen);
        match self {
            Self::Remap { path, map } => {
                let path: Vec<String> = path.iter().map(|step| step.render_text(&cx)).collect::<Result<_, _>>()?;
                let map = map.render(&cx)?;
                let Some(value) = crate::dpath::get(&seen, &path) else { return Ok(()) };
                let name = match value {
                    Value::String(text) => text.clone(),
                    _ => return Ok(()),
                };
                if let Some((_, new)) = map.into_iter().find(|(old, _)| *old == name) {
                    crate::dpath::set(config, &path, &new);
                }
            }
            Self::Add { fields, condition } => {
                for (path, template, kind) in fields {
                    let seen = config.clone();
                    let cx = Context::new(now).with("config", &seen);
                    let value = match kind {
                        Some(kind) => template.render_as(*kind, &cx)?,
                        None => template.render(&cx)?,
                    };
                    let at = Value::from(path.clone());
                    if let Some(condition) = condition
                        && !condition.render_bool(&cx.with("value", &value).with("path", &at))?
                    {
                        continue;
                    }
                    crate::dpath::put(config, path, value).ok_or_else(|| {
                        Failure::config(format!("the configuration has no place for '{}'", path.join(".")))
                    })?;
                }
            }
            Self::Remove { pointers, condition } => {
                if let Some(condition) = condition
                    && !condition.render_bool(&cx)?
                {
                    return Ok(());
                }
                pointers.iter().for_each(|pointer| crate::dpath::remove(config, pointer));
            }
        }
        Ok(())
    }
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
                let path: Vec<String> = node.list("field_path").iter().map(|n| crate::python::text_of(n.value)).collect();
                all_at(config, &path).into_iter().cloned().collect()
            }
            "PredicateValidator" => match node.value.get("value") {
                Some(Value::String(text)) => vec![Template::compile(text)?.render(&Context::new(now).with("config", config))?],
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
    let validator = jsonschema::options().should_validate_formats(false).build(schema);
    let validator = validator.map_err(|error| format!("the schema can't be used: {}", error.masked()))?;
    validator.validate(value).map_err(|error| {
        let at = error.instance_path.to_string();
        let error = error.masked();
        if at.is_empty() { error.to_string() } else { format!("{error} at '{at}'") }
    })
}
