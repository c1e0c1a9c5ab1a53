//! What `+`, `<`, `in`, `[a:b]` and their kin do to Python's values.

use std::cmp::Ordering;

use super::call::{Fault, Outcome};
use super::ir::{Comparison, Op};
use super::machine::{MAX_OUTPUT, Machine};
use super::shared::Text;
use super::value::Py;
use super::{format, number};
use crate::datetime::{DAY, IsoDuration, Moment};

pub(super) fn negate<'a>(value: &Py<'a>) -> Outcome<'a> {
    match value {
        Py::Float(float) => Ok(Py::Float(-float)),
        Py::Delta(microseconds) => Ok(Py::Delta(-microseconds)),
        Py::Duration(d) => {
            let IsoDuration { years, months, microseconds } = *d;
            Ok(Py::Duration(IsoDuration { years: -years, months: -months, microseconds: -microseconds }))
        }
        other => match other.as_int() {
            Some(int) => int.checked_neg().map(Py::Int).ok_or_else(number::too_large),
            None => Err(Fault::kind("a number", other)),
        },
    }
}

pub(super) fn compare<'a>(
    machine: &mut Machine<'a>,
    comparison: Comparison,
    left: &Py<'a>,
    right: &Py<'a>,
) -> Result<bool, Fault> {
    let mut order = |wanted: &[Ordering]| {
        compared(machine, left, right)?;
        Ok(left.order(right)?.is_some_and(|found| wanted.contains(&found)))
    };
    match comparison {
        Comparison::Eq | Comparison::Ne => {
            compared(machine, left, right)?;
            Ok(left.equals(right) == (comparison == Comparison::Eq))
        }
        Comparison::Lt => order(&[Ordering::Less]),
        Comparison::Le => order(&[Ordering::Less, Ordering::Equal]),
        Comparison::Gt => order(&[Ordering::Greater]),
        Comparison::Ge => order(&[Ordering::Greater, Ordering::Equal]),
        Comparison::In => contains(machine, right, left),
        Comparison::NotIn => Ok(!contains(machine, right, left)?),
    }
}

/// Two values are compared as far as the one that is a plain one goes.
fn compared(machine: &mut Machine, left: &Py, right: &Py) -> Result<(), Fault> {
    let is_plain = |value: &Py| value.len().is_none();
    if is_plain(left) || is_plain(right) {
        return Ok(());
    }
    machine.walk(left)
}

pub(super) fn contains<'a>(machine: &mut Machine<'a>, owner: &Py<'a>, item: &Py<'a>) -> Result<bool, Fault> {
    match owner {
        Py::Text(text) => match item {
            Py::Text(part) => {
                machine.burn(text.len() / 32)?;
                Ok(text.contains(&**part))
            }
            other => Err(Fault::Type(format!("'in <string>' requires string, not {}", other.kind()))),
        },
        Py::Dict(members) => {
            let others = members.borrow().len();
            machine.search(others, item)?;
            Ok(owner.member(item)?.is_some())
        }
        owner if owner.is_mapping() => Ok(owner.member(item)?.is_some()),
        Py::Array(items) => {
            machine.search(items.len(), item)?;
            Ok(items.iter().any(|found| Py::of(found).equals(item)))
        }
        owner => {
            machine.search(owner.len().unwrap_or(0), item)?;
            Ok(owner.items()?.iter().any(|found| found.equals(item)))
        }
    }
}

pub(super) fn binary<'a>(machine: &mut Machine<'a>, op: Op, left: Py<'a>, right: Py<'a>) -> Outcome<'a> {
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        return of_ints(op, a, b);
    }
    if let (Some(a), Some(b)) = (left.as_number(), right.as_number()) {
        return of_floats(op, a, b);
    }
    match (op, &left, &right) {
        // Formatting takes whatever it is given, undefined or not.
        (Op::Rem, Py::Text(text), _) => {
            machine.walk(&right)?;
            format::percent(machine, text, &right)
        }
        (_, Py::Undefined(name), _) | (_, _, Py::Undefined(name)) => Err(Fault::Undefined(name.to_string())),
        (Op::Add, Py::Text(a), Py::Text(b)) => {
            machine.grow(a.len() + b.len())?;
            Ok(Py::text(format!("{a}{b}")))
        }
        (Op::Add, Py::Array(_) | Py::List(_), Py::Array(_) | Py::List(_)) | (Op::Add, Py::Tuple(_), Py::Tuple(_)) => {
            machine.burn(left.len().unwrap_or(0) + right.len().unwrap_or(0))?;
            let mut items = left.items()?;
            items.extend(right.items()?);
            Ok(if matches!(left, Py::Tuple(_)) { Py::tuple(items) } else { Py::list(items) })
        }
        (Op::Mul, Py::Text(_) | Py::Array(_) | Py::List(_) | Py::Tuple(_), count) if count.as_int().is_some() => {
            repeat(machine, &left, count.as_int().unwrap_or(0))
        }
        (Op::Mul, count, Py::Text(_) | Py::Array(_) | Py::List(_) | Py::Tuple(_)) if count.as_int().is_some() => {
            repeat(machine, &right, count.as_int().unwrap_or(0))
        }
        _ => of_times(op, &left, &right),
    }
}

fn repeat<'a>(machine: &mut Machine<'a>, value: &Py<'a>, count: i128) -> Outcome<'a> {
    let count = usize::try_from(count).unwrap_or(0);
    let size = match value {
        Py::Text(text) => text.len(),
        other => other.len().unwrap_or(0) * 32,
    };
    machine.grow(size.saturating_mul(count))?;
    Ok(match value {
        Py::Text(text) => Py::text(text.repeat(count)),
        other => {
            let items = other.items()?;
            let items = items.iter().cycle().take(items.len() * count).cloned().collect();
            if matches!(other, Py::Tuple(_)) { Py::tuple(items) } else { Py::list(items) }
        }
    })
}

fn of_ints<'a>(op: Op, a: i128, b: i128) -> Outcome<'a> {
    let int = match op {
        Op::Add => a.checked_add(b),
        Op::Sub => a.checked_sub(b),
        Op::Mul => a.checked_mul(b),
        Op::Div => return number::divide(a as f64, b as f64).map(Py::Float),
        Op::FloorDiv => Some(number::floor_divide(a, b)?),
        Op::Rem => Some(number::modulo(a, b)?),
        Op::Pow if b < 0 => return Ok(Py::Float((a as f64).powf(b as f64))),
        Op::Pow => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
    };
    int.map(Py::Int).ok_or_else(number::too_large)
}

fn of_floats<'a>(op: Op, a: f64, b: f64) -> Outcome<'a> {
    Ok(Py::Float(match op {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div => number::divide(a, b)?,
        Op::FloorDiv => number::float_floor_divide(a, b)?,
        Op::Rem => number::float_modulo(a, b)?,
        Op::Pow => a.powf(b),
    }))
}

fn of_times<'a>(op: Op, left: &Py<'a>, right: &Py<'a>) -> Outcome<'a> {
    let fails = |error: crate::datetime::DatetimeError| Fault::Fails(error.to_string());
    let day = |date: &jiff::civil::Date| Moment::new(date.to_datetime(jiff::civil::Time::midnight()), None);
    match (op, left, right) {
        (Op::Add, Py::Moment(moment), Py::Delta(delta)) | (Op::Add, Py::Delta(delta), Py::Moment(moment)) => {
            moment.plus_microseconds(*delta).map(Py::Moment).map_err(fails)
        }
        (Op::Sub, Py::Moment(moment), Py::Delta(delta)) => {
            moment.plus_microseconds(-delta).map(Py::Moment).map_err(fails)
        }
        (Op::Add, Py::Moment(moment), Py::Duration(d)) | (Op::Add, Py::Duration(d), Py::Moment(moment)) => {
            d.after(moment).map(Py::Moment).map_err(fails)
        }
        (Op::Sub, Py::Moment(moment), Py::Duration(d)) => d.before(moment).map(Py::Moment).map_err(fails),
        (Op::Sub, Py::Moment(a), Py::Moment(b)) if a.offset().is_some() == b.offset().is_some() => {
            Ok(Py::Delta(a.microseconds() - b.microseconds()))
        }
        // A date moves by whole days.
        (Op::Add, Py::Date(date), Py::Delta(delta)) | (Op::Add, Py::Delta(delta), Py::Date(date)) => {
            let moved = day(date).and_then(|day| day.plus_microseconds(delta.div_euclid(DAY) * DAY)).map_err(fails)?;
            Ok(Py::Date(moved.date()))
        }
        (Op::Sub, Py::Date(date), Py::Delta(delta)) => {
            let days = (-delta.div_euclid(DAY)).saturating_mul(DAY);
            Ok(Py::Date(day(date).and_then(|day| day.plus_microseconds(days)).map_err(fails)?.date()))
        }
        (Op::Add, Py::Date(date), Py::Duration(d)) | (Op::Add, Py::Duration(d), Py::Date(date)) => {
            let whole = IsoDuration { microseconds: d.microseconds.div_euclid(DAY) * DAY, ..*d };
            Ok(Py::Date(day(date).and_then(|day| whole.after(&day)).map_err(fails)?.date()))
        }
        (Op::Sub, Py::Date(date), Py::Duration(d)) => {
            let whole = IsoDuration { microseconds: d.microseconds.div_euclid(DAY) * DAY, ..*d };
            Ok(Py::Date(day(date).and_then(|day| whole.before(&day)).map_err(fails)?.date()))
        }
        (Op::Sub, Py::Date(a), Py::Date(b)) => {
            let days = a.since(*b).map(|span| i64::from(span.get_days())).unwrap_or(0);
            Ok(Py::Delta(days * DAY))
        }
        (Op::Add | Op::Sub, Py::Delta(_) | Py::Duration(_), Py::Delta(_) | Py::Duration(_)) => {
            let (a, b) = (duration(left), duration(right));
            let sign = if op == Op::Add { 1 } else { -1 };
            let total = (|| {
                Some(IsoDuration {
                    years: a.years.checked_add(sign * b.years)?,
                    months: a.months.checked_add(sign * b.months)?,
                    microseconds: a.microseconds.checked_add(sign.checked_mul(b.microseconds)?)?,
                })
            })()
            .ok_or_else(number::too_large)?;
            Ok(if total.is_fixed() { Py::Delta(total.microseconds) } else { Py::Duration(total) })
        }
        (Op::Mul, Py::Delta(delta), factor) | (Op::Mul, factor, Py::Delta(delta)) if factor.as_number().is_some() => {
            let product = *delta as f64 * factor.as_number().unwrap_or(0.0);
            if product.abs() > MAX_DELTA {
                return Err(number::too_large());
            }
            Ok(Py::Delta(product.round_ties_even() as i64))
        }
        (Op::Div, Py::Delta(a), Py::Delta(b)) => number::divide(*a as f64, *b as f64).map(Py::Float),
        (Op::FloorDiv, Py::Delta(a), Py::Delta(b)) => number::floor_divide((*a).into(), (*b).into()).map(Py::Int),
        (Op::Div, Py::Delta(a), b) if b.as_number().is_some() => {
            let quotient = number::divide(*a as f64, b.as_number().unwrap_or(0.0))?;
            if quotient.abs() > MAX_DELTA {
                return Err(number::too_large());
            }
            Ok(Py::Delta(quotient.round_ties_even() as i64))
        }
        _ => Err(Fault::Type(format!("unsupported operand type(s): '{}' and '{}'", left.kind(), right.kind()))),
    }
}

/// Microseconds; more than between any two moments.
const MAX_DELTA: f64 = 4e17;

fn duration(value: &Py) -> IsoDuration {
    match value {
        Py::Duration(duration) => *duration,
        Py::Delta(microseconds) => IsoDuration { microseconds: *microseconds, ..IsoDuration::default() },
        _ => IsoDuration::default(),
    }
}

/// `owner[start:stop:step]`.
pub(super) fn slice<'a>(owner: Py<'a>, bounds: [Option<Py<'a>>; 3]) -> Outcome<'a> {
    let Some(length) = owner.len().filter(|_| !owner.is_mapping() && !matches!(owner, Py::Undefined(_))) else {
        return match owner {
            Py::Undefined(name) => Err(Fault::Undefined(name.to_string())),
            // Jinja takes a failing look-up for something undefined.
            other => Ok(Py::undefined(format!("a slice of {}", other.kind()))),
        };
    };
    let mut ints = [None; 3];
    for (int, bound) in ints.iter_mut().zip(&bounds) {
        *int = match bound {
            None | Some(Py::None) => None,
            Some(bound) => match bound.as_int() {
                Some(int) => Some(int),
                None => return Ok(Py::undefined(format!("a slice by {}", bound.kind()))),
            },
        };
    }
    let step = ints[2].unwrap_or(1);
    if step == 0 {
        return Err(Fault::Fails("slice step cannot be zero".to_owned()));
    }
    let length = length as i128;
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let place = |bound: Option<i128>, default: i128| match bound {
        None => default,
        Some(bound) if bound < 0 => (bound + length).clamp(low, high),
        Some(bound) => bound.clamp(low, high),
    };
    let (start, stop) = if step > 0 {
        (place(ints[0], low), place(ints[1], high))
    } else {
        (place(ints[0], high), place(ints[1], low))
    };
    if step == 1 {
        let (start, stop) = (start as usize, stop.max(start) as usize);
        match &owner {
            Py::Array(items) => return Ok(Py::Array(&items[start..stop])),
            Py::Text(Text::Borrowed(text)) if text.is_ascii() => {
                return Ok(Py::Text(Text::Borrowed(&text[start..stop])));
            }
            _ => {}
        }
    }
    let items = owner.items()?;
    let mut at = start;
    let mut picked = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        picked.extend(usize::try_from(at).ok().and_then(|at| items.get(at)).cloned());
        at += step;
    }
    Ok(match owner {
        Py::Text(_) => {
            let mut text = String::with_capacity(picked.len().min(MAX_OUTPUT));
            picked.iter().filter_map(Py::as_str).for_each(|part| text.push_str(part));
            Py::text(text)
        }
        Py::Tuple(_) => Py::tuple(picked),
        _ => Py::list(picked),
    })
}
