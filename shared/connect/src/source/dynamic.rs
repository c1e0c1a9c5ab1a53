//! Dynamic streams: a template, and a resolver that says what to put into it, once for each stream.

use std::sync::Arc;

use crate::value::{Map, Value};
use jiff::Timestamp;

use super::stream::Stream;
use crate::failure::Failure;
use crate::interpolate::{Context, StreamSlice, Template, ValueType};
use crate::node::{Compiler, Node};
use crate::read::fetch::Answered;
use crate::read::reader::Sample;
use crate::read::{Progress, ready};
use crate::session::Session;

/// How many streams one definition may give.
const MOST: usize = 10_000;

pub struct Resolving {
    template: Value,
    mappings: Vec<Mapping>,
    inner_win: bool,
    values: Values,
}

enum Values {
    Known(Vec<Value>),
    Asked { stream: Arc<Stream>, sample: Option<Box<Sample>> },
}

struct Mapping {
    path: Vec<Template>,
    value: Template,
    kind: Option<ValueType>,
    creates: bool,
    condition: Option<Template>,
}

impl Resolving {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let resolver = node.require("components_resolver", cx)?;
        let template = node.require("stream_template", cx)?.value.clone();
        let parameters = resolver.parameters();
        let mut mappings = Vec::new();
        for mapping in resolver.list("components_mapping") {
            let own = if mapping.get("$parameters").is_some() { mapping.parameters() } else { parameters.clone() };
            let with = |template: Template| template.with_parameters(&own);
            let kind = match mapping.text("value_type", cx) {
                None => None,
                Some("string") => Some(ValueType::String),
                Some("number") => Some(ValueType::Number),
                Some("integer") => Some(ValueType::Integer),
                Some("boolean") => Some(ValueType::Boolean),
                Some(_) => {
                    cx.report(&mapping, "'value_type' is string, number, integer or boolean");
                    None
                }
            };
            mappings.push(Mapping {
                path: mapping.templates("field_path", cx).into_iter().map(with).collect(),
                value: mapping.require_template("value", cx).map(with)?,
                kind,
                creates: mapping.flag("create_or_update"),
                condition: mapping.template("condition", cx).map(with).filter(|condition| !condition.text().is_empty()),
            });
        }
        let values = match resolver.kind() {
            "ConfigComponentsResolver" => Values::Known(configured(&resolver, cx)?),
            "ParametrizedComponentsResolver" => {
                let parameters = resolver.require("stream_parameters", cx)?;
                Values::Known(
                    parameters.list("list_of_parameters_for_stream").iter().map(|n| n.value.clone()).collect(),
                )
            }
            "HttpComponentsResolver" => {
                let retriever = resolver.require("retriever", cx)?;
                let name = node.value.get("name").map(crate::python::text_of).unwrap_or_default();
                let name = if name.is_empty() { "__http_components_resolver".to_owned() } else { name };
                Values::Asked { stream: Arc::new(Stream::of_retriever(&retriever, &name, true, cx)?), sample: None }
            }
            _ => {
                cx.unknown(&resolver, "components resolver");
                return None;
            }
        };
        if resolver.kind() != "ConfigComponentsResolver" && mappings.iter().any(|mapping| mapping.condition.is_some()) {
            cx.report(&resolver, "mappings with a 'condition' are for ConfigComponentsResolver");
        }
        // What streams say themselves wins only when the definition says so.
        let inner_win = node.get("use_parent_parameters").is_some_and(|node| node.value == &Value::Bool(false));
        Some(Self { template, mappings, inner_win, values })
    }

    pub fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<Vec<Value>>, Failure> {
        let mut values = Vec::new();
        let is_known = match &mut self.values {
            Values::Known(known) => {
                values.extend(known.iter().map(|value| (value.clone(), None)));
                true
            }
            Values::Asked { stream, sample } => {
                if sample.is_none() {
                    *sample = Some(Box::new(Sample::new(stream.clone(), None, session, now)?));
                }
                let Some(running) = sample else { return Ok(Progress::Done(Vec::new())) };
                let records = ready!(running.step(session, now)?);
                for (record, partition) in records.into_iter().zip(&running.partitions) {
                    let slice = StreamSlice::new(partition.values.clone(), Map::new(), partition.extra.clone());
                    values.push((Value::Object(record.into_map()?), Some(slice)));
                }
                *sample = None;
                false
            }
        };
        if values.len() > MOST {
            return Err(Failure::config(format!("a dynamic definition gives more than {MOST} streams")));
        }
        let mut out = Vec::new();
        for (value, slice) in values {
            let cx = Context::new(now).with("config", session.config.as_ref());
            let cx = cx.with("stream_template_config", &self.template).with("components_values", &value);
            let cx = match &slice {
                Some(slice) => cx.with("stream_slice", slice),
                None => cx,
            };
            out.push(crate::load::propagate(self.filled(&cx, is_known)?, self.inner_win));
        }
        Ok(Progress::Done(out))
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        match &mut self.values {
            Values::Asked { sample: Some(sample), .. } => sample.answer(session, now, answered),
            _ => Ok(()),
        }
    }

    /// The template with everything in its place. `reads`: texts are read as YAML.
    fn filled(&self, cx: &Context, reads: bool) -> Result<Value, Failure> {
        let mut out = self.template.clone();
        for mapping in &self.mappings {
            if let Some(condition) = &mapping.condition
                && !condition.render_bool(cx)?
            {
                continue;
            }
            let value = match mapping.kind {
                Some(kind) => mapping.value.render_as(kind, cx)?,
                None => mapping.value.render(cx)?,
            };
            let path: Vec<String> = mapping.path.iter().map(|step| step.render_text(cx)).collect::<Result<_, _>>()?;
            let value = match &value {
                Value::String(text) if reads && mapping.kind != Some(ValueType::String) => {
                    crate::manifest_yaml::load(text).map_or_else(|_| value.clone(), |document| document.value)
                }
                _ => value,
            };
            let is_set = crate::lookup::set(&mut out, &path, &value);
            if !is_set && mapping.creates && crate::python::is_truthy(&value) {
                crate::lookup::put(&mut out, &path, value);
            }
        }
        Ok(out)
    }
}

/// What the configuration says of each stream; with several lists, of each combination.
fn configured(resolver: &Node, cx: &mut Compiler) -> Option<Vec<Value>> {
    let mut combined: Vec<Map> = vec![Map::new()];
    for (index, node) in resolver.list("stream_config").iter().enumerate() {
        let parameters = node.parameters();
        let path: Option<Vec<String>> =
            node.list("configs_pointer").iter().map(|step| cx.evaluate_text(step, &parameters)).collect();
        let mut values = match crate::lookup::get(cx.config, &path?) {
            Some(Value::Array(items)) => items.clone(),
            Some(value) => vec![value.clone()],
            None => Vec::new(),
        };
        values.extend(node.list("default_values").iter().map(|node| node.value.clone()));
        if combined.len().saturating_mul(values.len()) > MOST {
            cx.report_config(node, format_args!("the configuration gives more than {MOST} streams"));
            return None;
        }
        combined = (combined.iter())
            .flat_map(|known| {
                values.iter().enumerate().map(move |(at, value)| {
                    let mut out = known.clone();
                    match value {
                        Value::Object(members) => out.extend(members.clone()),
                        other => {
                            let pair = Value::Array(vec![at.into(), other.clone()]);
                            out.entry(format!("source_config_{index}")).or_insert(pair);
                        }
                    }
                    out
                })
            })
            .collect();
    }
    Some(combined.into_iter().map(Value::Object).collect())
}
