//! A record taken apart into the items of a list inside it, with as much of the record as is asked for.
//!
//! Doesn't own fetching a list that came truncated: `is_truncated` says that it did, and `with_parent` makes of
//! each fetched item what `expand` makes of the embedded ones.

use crate::value::{Map, Value};

use super::{ExtractError, is_empty, parameters, render, templates};
use crate::dpath::{self, Step};
use crate::interpolate::{Context, Template};

#[derive(Clone, Debug)]
pub struct RecordExpander {
    path: Vec<Template>,
    truncation_path: Vec<Template>,
    keep_original: bool,
    merge_parent: bool,
    emit_parent: bool,
    parent_fields: Vec<(Vec<Template>, Vec<Template>)>,
}

impl RecordExpander {
    pub fn compile(component: &Value) -> Result<Self, ExtractError> {
        let own = parameters(component);
        let flag = |name: &str| component.get(name).and_then(Value::as_bool).unwrap_or(false);
        let fields = component.get("parent_fields").and_then(Value::as_array).into_iter().flatten();
        let fields = fields.map(|field| {
            let own = parameters(field);
            let path = |name: &str| -> Result<Vec<Template>, ExtractError> {
                let path = templates(field.get(name), &own)?;
                match path.iter().any(|step| step.is_plain() && step.text().contains(['*', '?', '['])) {
                    true => Err(ExtractError::Component(format!("{name} must lead to a single field, without globs"))),
                    false if path.is_empty() => Err(ExtractError::Component(format!("{name} must not be empty"))),
                    false => Ok(path),
                }
            };
            Ok((path("parent_path")?, path("record_path")?))
        });
        Ok(Self {
            path: templates(component.get("expand_records_from_field"), &own)?,
            truncation_path: templates(component.get("truncation_indicator_path"), &own)?,
            keep_original: flag("remain_original_record"),
            merge_parent: flag("merge_parent"),
            emit_parent: component.get("on_no_records").and_then(Value::as_str) == Some("emit_parent"),
            parent_fields: fields.collect::<Result<_, ExtractError>>()?,
        })
    }

    /// Whether the record says that its list is not all there is.
    pub fn is_truncated(&self, record: &Value, context: &Context) -> Result<bool, ExtractError> {
        if self.truncation_path.is_empty() {
            return Ok(false);
        }
        let path = render(&self.truncation_path, context)?;
        Ok(matches!(dpath::find(record, &path)[..], [indicator] if !is_empty(indicator)))
    }

    pub fn expand(&self, record: Value, context: &Context) -> Result<Vec<Value>, ExtractError> {
        if !record.is_object() || self.path.is_empty() {
            return Ok(vec![record]);
        }
        let path = render(&self.path, context)?;
        let lists = dpath::find(&record, &path).into_iter().filter_map(Value::as_array);
        let items: Vec<Value> = lists.flatten().cloned().collect();
        if items.is_empty() {
            return Ok(if self.emit_parent { vec![record] } else { Vec::new() });
        }
        let base = self.base(&record, &path);
        items.into_iter().map(|item| self.context_of(item, &record, base.as_ref(), context)).collect()
    }

    /// What a fetched item of the record's list becomes.
    pub fn with_parent(&self, item: Value, record: &Value, context: &Context) -> Result<Value, ExtractError> {
        let base = self.base(record, &render(&self.path, context)?);
        self.context_of(item, record, base.as_ref(), context)
    }

    /// The record without the lists that are taken apart.
    fn base(&self, record: &Value, path: &[Step]) -> Option<Map> {
        let mut base = self.merge_parent.then(|| record.clone())?;
        dpath::remove_lists(&mut base, path);
        match base {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    fn context_of(
        &self,
        item: Value,
        record: &Value,
        base: Option<&Map>,
        context: &Context,
    ) -> Result<Value, ExtractError> {
        let carries = self.keep_original || self.merge_parent || !self.parent_fields.is_empty();
        let members = match item {
            Value::Object(members) => members,
            item if !carries => return Ok(item),
            item => Map::from_iter([("value".to_owned(), item)]),
        };
        let mut child = base.cloned().unwrap_or_default();
        child.extend(members);
        let mut child = Value::Object(child);
        for (from, to) in &self.parent_fields {
            let value = dpath::find(record, &render(from, context)?).first().map_or(Value::Null, |v| (*v).clone());
            dpath::set(&mut child, &render(to, context)?, value)
                .map_err(|why| ExtractError::Record(format!("record_path: {why}")))?;
        }
        if let (true, Value::Object(child)) = (self.keep_original, &mut child) {
            child.insert("original_record".to_owned(), record.clone());
        }
        Ok(child)
    }
}
