//! A moment that a manifest gives, kept between two others.

use std::sync::Arc;

use crate::value::Value;

use super::{DatetimeError, Moment};
use crate::interpolate::{Context, Template, TemplateError};

const DEFAULT_FORMAT: &str = "%Y-%m-%dT%H:%M:%S.%f%z";

#[derive(Clone, Debug)]
pub struct MinMaxDatetime {
    datetime: Template,
    min: Option<Template>,
    max: Option<Template>,
    format: String,
}

impl MinMaxDatetime {
    /// From a `MinMaxDatetime` component, or a text with the parameters of the component around it.
    /// `inherited_format` is that of the cursor.
    pub fn compile(
        component: &Value,
        inherited_format: Option<&str>,
        parameters: &Arc<Value>,
    ) -> Result<Self, TemplateError> {
        let own = component.get("$parameters").cloned().map(Arc::new);
        let parameters = own.as_ref().unwrap_or(parameters);
        let template = |text: &str| Ok(Template::compile(text)?.with_parameters(parameters));
        let member = |name: &str| component.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let datetime = component.as_str().or_else(|| member("datetime")).unwrap_or_default();
        let format = member("datetime_format").or(inherited_format.filter(|format| !format.is_empty()));
        Ok(Self {
            datetime: template(datetime)?,
            min: member("min_datetime").map(template).transpose()?,
            max: member("max_datetime").map(template).transpose()?,
            format: format.unwrap_or(DEFAULT_FORMAT).to_owned(),
        })
    }

    pub fn moment(&self, context: &Context) -> Result<Moment, DatetimeError> {
        let mut moment = super::parse(&self.datetime.render_text(context)?, &self.format)?;
        for (bound, replaces) in [(&self.min, std::cmp::Ordering::Greater), (&self.max, std::cmp::Ordering::Less)] {
            let Some(bound) = bound else { continue };
            let text = bound.render_text(context)?;
            if !text.is_empty() {
                let bound = super::parse(&text, &self.format)?;
                if bound.compare(&moment) == Some(replaces) {
                    moment = bound;
                }
            }
        }
        Ok(moment)
    }
}
