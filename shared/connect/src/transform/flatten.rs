//! What is nested brought to the top.

use crate::value::{Map, Value};

use super::TransformError;
use super::keys::affixed;
use crate::dpath::{self, Step};
use crate::extract::{parameters, render, templates};
use crate::interpolate::{Context, Template, TemplateError};

/// Every leaf at the top. It keeps its bare name unless that is taken, or a list has been met before it: then it
/// is `parent.name`. Later members are met before what is inside earlier ones.
pub(super) fn flatten(record: &mut Value, lists: bool) {
    let mut flat = Map::new();
    let mut with_parent = false;
    let mut stack = vec![(record.take(), "_".to_owned())];
    while let Some((value, name)) = stack.pop() {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let key = if with_parent || flat.contains_key(&key) { format!("{name}.{key}") } else { key };
                    stack.push((value, key));
                }
            }
            Value::Array(items) if lists => {
                for (i, item) in items.into_iter().enumerate() {
                    with_parent = true;
                    stack.push((item, format!("{name}.{i}")));
                }
            }
            leaf => {
                flat.insert(name, leaf);
            }
        }
    }
    *record = Value::Object(flat);
}

#[derive(Clone, Debug)]
pub struct DpathFlatten {
    path: Vec<Template>,
    delete_origin: bool,
    replace_record: bool,
    prefix: Option<Template>,
    suffix: Option<Template>,
}

impl DpathFlatten {
    pub fn compile(component: &Value) -> Result<Self, TransformError> {
        let own = parameters(component);
        let flag = |name: &str| component.get(name).and_then(Value::as_bool).unwrap_or(false);
        let affix = |name: &str| -> Result<Option<Template>, TemplateError> {
            let text = component.get("key_transformation").and_then(|keys| keys.get(name)).and_then(Value::as_str);
            text.map(|text| Ok(Template::compile(text)?.with_parameters(&own))).transpose()
        };
        Ok(Self {
            path: templates(component.get("field_path"), &own)?,
            delete_origin: flag("delete_origin_value"),
            replace_record: flag("replace_record"),
            prefix: affix("prefix")?,
            suffix: affix("suffix")?,
        })
    }

    /// Nothing happens where a name is taken already, unless the whole record is replaced.
    pub fn apply(&self, record: &mut Value, context: &Context) -> Result<(), TransformError> {
        let path = render(&self.path, context)?;
        let found = dpath::find(record, &path);
        if found.len() > 1 && !path.iter().any(Step::is_star) {
            return Err(TransformError::Record("DpathFlattenFields: the path leads to more than one place".to_owned()));
        }
        let Some(Value::Object(members)) = found.first().map(|found| (*found).clone()) else { return Ok(()) };
        let affix =
            |affix: &Option<Template>| affix.as_ref().map_or(Ok(String::new()), |affix| affix.render_text(context));
        let members = affixed(members, &affix(&self.prefix)?, &affix(&self.suffix)?);
        if self.replace_record && !members.is_empty() {
            *record = Value::Object(members);
            return Ok(());
        }
        if members.keys().any(|key| record.get(key).is_some()) {
            return Ok(());
        }
        if self.delete_origin {
            dpath::remove::<TemplateError>(record, &path, None)?;
        }
        if let Value::Object(record) = record {
            record.extend(members);
        }
        Ok(())
    }
}
