//! What a listing asks for, read from its query: size, cursor, order, filters.
//!
//! Always holds: nothing in a query is ignored. What can't be followed is refused, with what can.

use sha2::{Digest, Sha256};

use crate::domain::schema::Field;
use crate::domain::{FieldType, Schema, Value};
use crate::pipeline::api::{Code, Problem, Query};
use crate::ports::entities::{Compare, Filter};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

pub(super) struct Listing {
    pub limit: usize,
    pub cursor: Option<String>,
    sized: bool,
    asked: Vec<Asked>,
}

/// A filter as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    field: String,
    /// As in `field[gte]`; `eq` for a plain `field`.
    compare: String,
    text: String,
}

impl Listing {
    pub fn read(query: &Query) -> Result<Self, Problem> {
        let limit = once(query, "limit")?;
        if let Some(sort) = once(query, "sort")?
            && sort != "key"
        {
            let detail = format!("rows can't be sorted by '{sort}'; they come by key, ascending: `sort=key`");
            return Err(Problem::new(Code::Parameter, detail));
        }
        let asked = query.iter().filter(|(name, _)| !["limit", "cursor", "sort"].contains(&name.as_str()));
        Ok(Self {
            limit: limit.map_or(Ok(DEFAULT_LIMIT), read_limit)?,
            cursor: once(query, "cursor")?.map(str::to_owned),
            sized: limit.is_some(),
            asked: asked.map(|(name, text)| Asked::read(name, text)).collect(),
        })
    }

    /// The filters in the types of their fields.
    pub fn filters(&self, schema: &Schema) -> Result<Vec<Filter>, Problem> {
        self.asked.iter().map(|asked| asked.filter(schema)).collect()
    }

    /// The same for the same filters in any order.
    pub fn fingerprint(&self) -> String {
        let mut asked: Vec<&Asked> = self.asked.iter().collect();
        asked.sort();
        asked.dedup();
        let mut hasher = Sha256::new();
        for Asked { field, compare, text } in asked {
            for part in [field, compare, text] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
        }
        format!("{:x}", hasher.finalize())[..16].to_owned()
    }

    /// The query of the page after this one.
    pub fn query_with(&self, cursor: &str) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        if self.sized {
            out.append_pair("limit", &self.limit.to_string());
        }
        for Asked { field, compare, text } in &self.asked {
            out.append_pair(&format!("{field}[{compare}]"), text);
        }
        out.append_pair("cursor", cursor).finish()
    }
}

fn once<'a>(query: &'a Query, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = query.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Problem::new(Code::Parameter, format!("`{name}` is there twice; give it once"))),
    }
}

fn read_limit(text: &str) -> Result<usize, Problem> {
    text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
        Problem::new(Code::Parameter, format!("`limit` is a number from 1 to {MAX_LIMIT}, not '{text}'"))
    })
}

impl Asked {
    fn read(name: &str, text: &str) -> Self {
        let (field, compare) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((field, compare)) => (field, compare),
            None => (name, "eq"),
        };
        Self { field: field.to_owned(), compare: compare.to_owned(), text: text.to_owned() }
    }

    fn filter(&self, schema: &Schema) -> Result<Filter, Problem> {
        let wrong = |detail: String| Problem::new(Code::Filter, detail);
        let Self { field: name, compare, text } = self;
        let field = schema
            .position(name)
            .map(|at| &schema.fields[at])
            .ok_or_else(|| wrong(format!("{} has no field '{name}'; {}", schema.entity, filterable(schema))))?;
        if !can_filter(field) {
            let remedy = if field.kind == FieldType::Json {
                format!("it is of type json; {}", filterable(schema))
            } else {
                format!("declare it with `index: true` in teal.yaml and rebuild; {}", filterable(schema))
            };
            return Err(wrong(format!("{} can't be filtered by '{name}': {remedy}", schema.entity)));
        }
        let compare = read_compare(compare).ok_or_else(|| {
            wrong(format!("'{name}[{compare}]' is no comparison; use {name}=…, [gte], [gt], [lte] or [lt]"))
        })?;
        if field.kind == FieldType::Boolean && compare != Compare::Equal {
            return Err(wrong(format!("'{name}' is true or false and has no order; use {name}=…")));
        }
        let value = read_value(field.kind, text).ok_or_else(|| {
            wrong(format!("'{name}' is compared with '{text}', which is not {}", describe(field.kind)))
        })?;
        Ok(Filter { field: name.clone(), compare, value })
    }
}

fn can_filter(field: &Field) -> bool {
    field.index && field.kind != FieldType::Json
}

fn filterable(schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields.iter().filter(|f| can_filter(f)).map(|f| f.name.as_str()).collect();
    if names.is_empty() {
        "no field of it is declared `index: true`".to_owned()
    } else {
        format!("it can be filtered by {}", names.join(", "))
    }
}

fn read_compare(text: &str) -> Option<Compare> {
    Some(match text {
        "eq" => Compare::Equal,
        "lt" => Compare::Less,
        "lte" => Compare::LessOrEqual,
        "gt" => Compare::Greater,
        "gte" => Compare::GreaterOrEqual,
        _ => return None,
    })
}

/// In the form in which rows hold values of this type, or comparing would be meaningless.
fn read_value(kind: FieldType, text: &str) -> Option<Value> {
    match kind {
        FieldType::Integer => text.parse().ok().map(Value::Int),
        FieldType::Number => text.parse().ok().filter(|x: &f64| x.is_finite()).map(Value::Float),
        FieldType::String => Some(Value::Text(text.to_owned())),
        FieldType::Boolean => text.parse().ok().map(Value::Bool),
        FieldType::Date => {
            let date: jiff::civil::Date = text.parse().ok()?;
            (date.to_string() == text).then(|| Value::Text(text.to_owned()))
        }
        FieldType::Timestamp => {
            let timestamp: jiff::Timestamp = text.parse().ok()?;
            Some(Value::Text(crate::domain::Millis(timestamp.as_millisecond()).to_string()))
        }
        FieldType::Json => None,
    }
}

fn describe(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Integer => "an integer",
        FieldType::Number => "a number",
        FieldType::String => "a string",
        FieldType::Boolean => "true or false",
        FieldType::Date => "a date as YYYY-MM-DD",
        FieldType::Timestamp => "a time in RFC 3339, such as 2024-01-31T09:30:00Z",
        FieldType::Json => "comparable",
    }
}
