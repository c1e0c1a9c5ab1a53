//! JSON to the values that programs take, and back.

use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value as Json};

use super::JqError;

/// Deepest value that a program may give, the same depth to which JSON is read.
const MAX_DEPTH: usize = 128;

pub(super) fn to_val(json: &Json) -> Val {
    match json {
        Json::Null => Val::Null,
        Json::Bool(value) => Val::Bool(*value),
        Json::Number(number) => Val::Num(match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Num::from_integral(value),
            (None, Some(value)) => Num::from_integral(value),
            (None, None) => Num::Float(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Json::String(text) => text.clone().into(),
        Json::Array(items) => items.iter().map(to_val).collect(),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| (Val::from(name.clone()), to_val(value)));
            Val::obj(members.collect::<Map>())
        }
    }
}

pub(super) fn to_json(value: &Val, depth: usize) -> Result<Json, JqError> {
    if depth > MAX_DEPTH {
        return Err(JqError::NotJson("lists and objects deeper than 128 levels"));
    }
    Ok(match value {
        Val::Null => Json::Null,
        Val::Bool(value) => Json::Bool(*value),
        Val::Num(number) => number_to_json(number)?,
        Val::TStr(bytes) => Json::String(
            String::from_utf8(bytes.to_vec()).map_err(|_| JqError::NotJson("a text that is not valid UTF-8"))?,
        ),
        Val::BStr(_) => return Err(JqError::NotJson("bytes; make a text of them with 'tostring'")),
        Val::Arr(items) => Json::Array(items.iter().map(|item| to_json(item, depth + 1)).collect::<Result<_, _>>()?),
        Val::Obj(members) => {
            let mut object = serde_json::Map::new();
            for (name, value) in members.iter() {
                let Json::String(name) = to_json(name, depth + 1)? else {
                    return Err(JqError::NotJson("an object whose member has no text for a name"));
                };
                object.insert(name, to_json(value, depth + 1)?);
            }
            Json::Object(object)
        }
    })
}

fn number_to_json(number: &Num) -> Result<Json, JqError> {
    let float = |value: f64| {
        Number::from_f64(value).map(Json::Number).ok_or(JqError::NotJson("a number that is infinite or none at all"))
    };
    match number {
        Num::Int(value) => Ok(Json::from(i64::try_from(*value).unwrap_or(i64::MAX))),
        Num::Float(value) => float(*value),
        Num::BigInt(_) | Num::Dec(_) => {
            let text = number.to_string();
            match text.parse::<u64>() {
                Ok(value) => Ok(value.into()),
                Err(_) => float(text.parse().unwrap_or(f64::NAN)),
            }
        }
    }
}
