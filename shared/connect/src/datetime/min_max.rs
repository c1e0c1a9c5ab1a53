//! A moment that a manifest gives, kept between two others.

use serde_json::Value;

use super::{DatetimeError, Moment};
use crate::interpolate::{Context, Template, TemplateError};

#[derive(Clone, Debug)]
pub struct MinMaxDatetime {
    datetime: Template,
}

impl MinMaxDatetime {
    /// From a `MinMaxDatetime` component or a text.
    pub fn compile(component: &Value, inherited_format: &str) -> Result<Self, TemplateError> {
        let _ = inherited_format;
        Ok(Self { datetime: Template::compile(component.as_str().unwrap_or_default())? })
    }

    pub fn moment(&self, context: &Context) -> Result<Moment, DatetimeError> {
        super::parse(&self.datetime.render_text(context)?, "")
    }
}
