//! Cursors: what a stream has been read up to, and the windows that are left to read.
//!
//! Owns the meaning of state, of any age. Always holds: state moves forward with what was read and closed, never
//! with what was only begun.

mod clamp;
pub mod intervals;
pub mod migration;
pub mod partitioned;
pub mod point;
#[cfg(test)]
mod tests;
mod windows;

pub use windows::Window;

use crate::value::{Map, Value};
use jiff::Timestamp;

pub use intervals::Intervals;
pub use point::Point;

use crate::datetime::{self, IsoDuration, MinMaxDatetime};
use crate::failure::Failure;
use crate::http::Parts;
use crate::interpolate::{Context, StreamSlice};
use crate::node::{Compiler, Node};
use crate::options::RequestOption;
use clamp::Clamp;

#[derive(Debug)]
pub struct Cursor {
    pub field: String,
    /// The catalog may choose another field.
    pub is_catalog_defined: bool,
    pub is_client_side: bool,
    pub is_data_feed: bool,
    pub is_global: bool,
    compares_strictly: bool,
    start_key: String,
    end_key: String,
    start_option: Option<RequestOption>,
    end_option: Option<RequestOption>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Datetime(Box<Moments>),
    /// Numbers that only grow: one open window, from the last one on.
    Count {
        start: i64,
    },
}

#[derive(Debug)]
struct Moments {
    /// How values of records may be written; the last is how the cursor itself writes.
    formats: Vec<String>,
    start: MinMaxDatetime,
    end: Option<MinMaxDatetime>,
    step: Option<IsoDuration>,
    granularity: Option<IsoDuration>,
    lookback: Option<IsoDuration>,
    clamp: Option<Clamp>,
}

impl Cursor {
    /// Whether the manifest says how far before its cursor a sync begins.
    pub fn looks_back(&self) -> bool {
        matches!(&self.kind, Kind::Datetime(moments) if moments.lookback.is_some())
    }

    pub fn compile(node: &Node, stream: &str, cx: &mut Compiler) -> Option<Self> {
        let parameters = node.parameters();
        let is_catalog_defined = node.flag("allow_catalog_defined_cursor_field");
        let chosen = cx.catalog.cursor_field(stream).filter(|_| is_catalog_defined);
        if chosen.is_some_and(|path| path.len() > 1) {
            cx.report_config(
                node,
                format_args!("the catalog chooses a nested cursor for stream '{stream}'; choose a field"),
            );
        }
        let field = match chosen.and_then(|path| path.first().cloned()) {
            Some(field) => field,
            None => node.required_text("cursor_field", &parameters, cx)?,
        };
        let option = |name: &str, cx: &mut Compiler| match node.get(name) {
            Some(option) => RequestOption::compile(&option, cx).map(Some),
            None => Some(None),
        };
        let key = |name: &str, default: &str, cx: &mut Compiler| match node.get(name) {
            Some(at) => cx.evaluate_text(&at, &parameters),
            None => Some(default.to_owned()),
        };
        if node.kind() == "IncrementingCountCursor" {
            let start = match node.get("start_value") {
                Some(at) => {
                    let value = cx.evaluate(&at, &parameters)?;
                    let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
                    if number.is_none() {
                        cx.report_config(&at, "'start_value' must be a whole number");
                    }
                    number?
                }
                None => 0,
            };
            return Some(Self {
                field,
                is_catalog_defined,
                is_client_side: false,
                is_data_feed: false,
                is_global: false,
                compares_strictly: false,
                start_key: "start".to_owned(),
                end_key: "end".to_owned(),
                start_option: option("start_value_option", cx)?,
                end_option: None,
                kind: Kind::Count { start },
            });
        }
        if node.kind() != "DatetimeBasedCursor" {
            cx.unknown(node, "cursor");
            return None;
        }
        let moments = Moments::compile(node, cx)?;
        Some(Self {
            field,
            is_catalog_defined,
            is_client_side: node.flag("is_client_side_incremental"),
            is_data_feed: node.flag("is_data_feed"),
            is_global: node.flag("global_substream_cursor"),
            compares_strictly: node.flag("is_compare_strictly"),
            start_key: key("partition_field_start", "start_time", cx)?,
            end_key: key("partition_field_end", "end_time", cx)?,
            start_option: option("start_time_option", cx)?,
            end_option: option("end_time_option", cx)?,
            kind: Kind::Datetime(Box::new(moments)),
        })
    }

    pub fn is_count(&self) -> bool {
        matches!(self.kind, Kind::Count { .. })
    }

    pub fn has_granularity(&self) -> bool {
        self.granularity().is_some()
    }

    pub fn has_step(&self) -> bool {
        matches!(&self.kind, Kind::Datetime(moments) if moments.step.is_some())
    }

    fn granularity(&self) -> Option<&IsoDuration> {
        match &self.kind {
            Kind::Datetime(moments) => moments.granularity.as_ref(),
            Kind::Count { .. } => None,
        }
    }

    fn lookback(&self) -> Option<&IsoDuration> {
        match &self.kind {
            Kind::Datetime(moments) => moments.lookback.as_ref(),
            Kind::Count { .. } => None,
        }
    }

    /// Where the very first sync begins.
    pub fn start(&self, cx: &Context) -> Result<Point, Failure> {
        match &self.kind {
            Kind::Datetime(moments) => Ok(moments.start.moment(cx)?.into()),
            Kind::Count { start } => Ok(Point::Count((*start).into())),
        }
    }

    /// Where a sync ends; `None` for one that is open.
    pub fn end(&self, now: Timestamp, cx: &Context) -> Result<Option<Point>, Failure> {
        let Kind::Datetime(moments) = &self.kind else { return Ok(None) };
        let end = match &moments.end {
            Some(end) => end.moment(cx)?.into(),
            None => Point::now(now),
        };
        match &moments.clamp {
            None => Ok(Some(end)),
            Some(clamp) => {
                let granularity = moments.granularity.unwrap_or_else(|| clamp.unit());
                Ok(Some(clamp.down(&end)?.sub(&granularity)?))
            }
        }
    }

    /// A value as records have it.
    pub fn parse(&self, value: &Value) -> Result<Point, Failure> {
        match (&self.kind, value) {
            (Kind::Count { .. }, Value::Number(number)) => Ok(Point::Count(number.clone())),
            (Kind::Count { .. }, _) => Err(Failure::system(format!("the cursor '{}' is no number", self.field))),
            (Kind::Datetime(moments), value) => {
                let held;
                let text = match value {
                    Value::String(text) => text.as_str(),
                    other => {
                        held = crate::python::text_of(other);
                        &held
                    }
                };
                for format in &moments.formats {
                    if let Ok(moment) = datetime::parse(text, format) {
                        return Ok(moment.into());
                    }
                }
                let formats = moments.formats.join("', '");
                Err(Failure::system(format!("the cursor '{}' has none of the formats '{formats}'", self.field)))
            }
        }
    }

    /// A value as state and requests have it.
    pub fn format(&self, point: &Point) -> Value {
        match (&self.kind, point) {
            (Kind::Datetime(moments), point) => {
                let format = moments.formats.last().map(String::as_str).unwrap_or_default();
                point.moment().map_or(Value::Null, |moment| datetime::format(&moment, format).into())
            }
            (Kind::Count { .. }, Point::Count(number)) => Value::Number(number.clone()),
            (Kind::Count { .. }, _) => Value::Null,
        }
    }

    /// What the cursor adds to a request of a slice.
    pub fn inject(&self, slice: &StreamSlice, parts: &mut Parts, cx: &Context) -> Result<(), Failure> {
        for (option, key) in [(&self.start_option, &self.start_key), (&self.end_option, &self.end_key)] {
            if let Some(option) = option {
                let value = slice.cursor_slice().get(key).cloned().unwrap_or(Value::Null);
                option.inject(value, parts, cx)?;
            }
        }
        Ok(())
    }

    /// The cursor's part of a slice.
    pub fn slice(&self, start: &Point, end: Option<&Point>) -> Map {
        let mut out = Map::new();
        out.insert(self.start_key.clone(), self.format(start));
        out.insert(self.end_key.clone(), end.map_or(Value::Null, |end| self.format(end)));
        out
    }

    /// The window of a slice, as its texts say it.
    pub fn window(&self, slice: &Map) -> Result<(Point, Point), Failure> {
        let at = |key: &str| {
            let value = slice.get(key).filter(|value| !value.is_null());
            value
                .ok_or_else(|| Failure::system(format!("the slice has no '{key}'")))
                .and_then(|value| self.parse(value))
        };
        Ok((at(&self.start_key)?, at(&self.end_key)?))
    }

    /// A window with another start, for reading the rest of it.
    pub fn restart(&self, slice: &Map, start: &Point) -> Map {
        let mut out = slice.clone();
        out.insert(self.start_key.clone(), self.format(start));
        out
    }

    /// Two windows in place of one that the source finds too large; `None` when it can't be halved.
    pub fn halve(&self, slice: &Map, least: Option<&IsoDuration>) -> Result<Option<[Map; 2]>, Failure> {
        let Some(granularity) = self.granularity().filter(|g| g.is_fixed() && g.microseconds > 0) else {
            return Ok(None);
        };
        let (start, end) = self.window(slice)?;
        let (Some(from), Some(to)) = (start.instant(), end.instant()) else { return Ok(None) };
        let span = to.as_microsecond() - from.as_microsecond();
        if span <= 0 || least.is_some_and(|least| span <= least.microseconds) {
            return Ok(None);
        }
        let units = span / granularity.microseconds + 1;
        if units <= 1 {
            return Ok(None);
        }
        let first = IsoDuration { microseconds: (units / 2 - 1) * granularity.microseconds, ..IsoDuration::default() };
        let first_end = start.add(&first)?;
        let second_start = first_end.add(granularity)?;
        if !(start <= first_end && first_end < second_start && second_start <= end) {
            return Ok(None);
        }
        Ok(Some([self.slice(&start, Some(&first_end)), self.slice(&second_start, Some(&end))]))
    }

    /// How old a state is; `None` when it does not say.
    pub fn instant_of_state(&self, state: &Value) -> Option<Timestamp> {
        let value = match state.get("slices").and_then(|slices| slices.get(0)) {
            Some(first) => first.get("most_recent_cursor_value").or_else(|| first.get("end"))?,
            None => state.get(&self.field)?,
        };
        self.parse(value).ok()?.instant()
    }
}

impl Moments {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let parameters = node.parameters();
        let format = node.require("datetime_format", cx)?.value.as_str().unwrap_or_default().to_owned();
        let mut formats = node.texts("cursor_datetime_formats", cx);
        formats.push(format.clone());
        let moment = |name: &str, cx: &mut Compiler| match node.get(name) {
            None => Some(None),
            Some(at) => cx.check(&at, MinMaxDatetime::compile(at.value, Some(&format), &parameters)).map(Some),
        };
        node.require("start_datetime", cx)?;
        let start = moment("start_datetime", cx)??;
        let end = moment("end_datetime", cx)?;
        for (name, moment) in [("start_datetime", Some(&start)), ("end_datetime", end.as_ref())] {
            if let (Some(moment), Some(at)) = (moment, node.get(name)) {
                let result = moment.moment(&cx.context());
                if let Err(error) = result {
                    cx.report_config(&at, error);
                }
            }
        }
        let duration = |name: &str, cx: &mut Compiler| match node.get(name) {
            None => Some(None),
            Some(at) => {
                let text = cx.evaluate_text(&at, &parameters)?;
                match text.is_empty() {
                    true => Some(None),
                    false => cx.check(&at, IsoDuration::parse(&text)).map(Some),
                }
            }
        };
        let (step, granularity) = (duration("step", cx)?, duration("cursor_granularity", cx)?);
        if node.get("step").is_some() != node.get("cursor_granularity").is_some() {
            cx.report(node, "'step' and 'cursor_granularity' go together; give both or neither");
        }
        let clamp = match node.get("clamping") {
            Some(at) => Some(Clamp::compile(&at, &parameters, cx)?),
            None => None,
        };
        Some(Self { formats, start, end, step, granularity, lookback: duration("lookback_window", cx)?, clamp })
    }
}
