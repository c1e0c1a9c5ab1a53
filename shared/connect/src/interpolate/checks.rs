//! Jinja's tests: `x is defined`, `x is divisibleby 3`.

use super::call::{Args, Fault, needed};
use super::ir::Comparison;
use super::machine::Machine;
use super::operators;
use super::value::Py;

type Run = for<'a> fn(&mut Machine<'a>, Py<'a>, Args<'a>) -> Result<bool, Fault>;

#[derive(Clone, Copy)]
pub(super) struct Check(pub Run);

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check")
    }
}

pub(super) fn find(name: &str) -> Option<Check> {
    let run: Run = match name {
        "defined" => |_, value, _| Ok(!matches!(value, Py::Undefined(_))),
        "undefined" => |_, value, _| Ok(matches!(value, Py::Undefined(_))),
        "none" => |_, value, _| Ok(matches!(value, Py::None)),
        "boolean" => |_, value, _| Ok(matches!(value, Py::Bool(_))),
        "true" => |_, value, _| Ok(matches!(value, Py::Bool(true))),
        "false" => |_, value, _| Ok(matches!(value, Py::Bool(false))),
        "integer" => |_, value, _| Ok(matches!(value, Py::Int(_))),
        "float" => |_, value, _| Ok(matches!(value, Py::Float(_))),
        "number" => |_, value, _| Ok(value.as_number().is_some()),
        "string" => |_, value, _| Ok(matches!(value, Py::Text(_))),
        "mapping" => |_, value, _| Ok(value.is_mapping()),
        "iterable" => |_, value, _| Ok(value.len().is_some()),
        "sequence" => |_, value, _| Ok(value.len().is_some()),
        "callable" => |_, value, _| Ok(matches!(value, Py::Method(..) | Py::Function(_))),
        "odd" => |_, value, _| Ok(remainder(&value, 2)? == 1),
        "even" => |_, value, _| Ok(remainder(&value, 2)? == 0),
        "divisibleby" => |_, value, args| {
            let [by] = args.bind(["num"])?;
            let by = needed(by, "num")?;
            let by = by.as_int().ok_or_else(|| Fault::kind("an integer", &by))?;
            Ok(remainder(&value, by)? == 0)
        },
        "lower" => |_, value, _| Ok(value.as_str().is_some_and(|text| text.to_lowercase() == text)),
        "upper" => |_, value, _| Ok(value.as_str().is_some_and(|text| text.to_uppercase() == text)),
        "eq" | "equalto" | "==" => |machine, value, args| compare(machine, Comparison::Eq, &value, args),
        "ne" | "!=" => |machine, value, args| compare(machine, Comparison::Ne, &value, args),
        "lt" | "lessthan" | "<" => |machine, value, args| compare(machine, Comparison::Lt, &value, args),
        "le" | "<=" => |machine, value, args| compare(machine, Comparison::Le, &value, args),
        "gt" | "greaterthan" | ">" => |machine, value, args| compare(machine, Comparison::Gt, &value, args),
        "ge" | ">=" => |machine, value, args| compare(machine, Comparison::Ge, &value, args),
        "in" => |machine, value, args| compare(machine, Comparison::In, &value, args),
        "sameas" => |machine, value, args| {
            let [other] = args.bind(["other"])?;
            let other = needed(other, "other")?;
            machine.walk(&other)?;
            Ok(value.kind() == other.kind() && value.equals(&other))
        },
        _ => return None,
    };
    Some(Check(run))
}

fn remainder(value: &Py, by: i128) -> Result<i128, Fault> {
    super::number::modulo(value.as_int().ok_or_else(|| Fault::kind("an integer", value))?, by)
}

fn compare<'a>(machine: &mut Machine<'a>, op: Comparison, left: &Py<'a>, args: Args<'a>) -> Result<bool, Fault> {
    let [right] = args.bind(["other"])?;
    operators::compare(machine, op, left, &needed(right, "other")?)
}
