//! The functions that every template can call: the CDK's macros, and `dict` and `namespace`.

use jiff::tz::TimeZone;

use super::call::{Args, Fault, Outcome, needed};
use super::machine::Machine;
use super::shared::Text;
use super::times::fails;
use super::value::Py;
use super::{methods, number, sorting, texts};
use crate::datetime::{self, DAY, IsoDuration, Moment, read_iso};

const NAMES: [&str; 15] = [
    "now_utc",
    "today_utc",
    "today_with_timezone",
    "timestamp",
    "str_to_datetime",
    "max",
    "min",
    "day_delta",
    "duration",
    "format_datetime",
    "sanitize_url",
    "camel_case_to_snake_case",
    "generate_uuid",
    "dict",
    "namespace",
];

pub(super) fn is_global(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(super) fn call<'a>(machine: &mut Machine<'a>, name: &str, args: Args<'a>) -> Outcome<'a> {
    match name {
        "now_utc" => {
            args.bind([])?;
            now(machine).map(Py::Moment)
        }
        "today_utc" => {
            args.bind([])?;
            Ok(Py::Date(now(machine)?.date()))
        }
        "today_with_timezone" => {
            let [zone] = args.bind(["timezone"])?;
            let zone = texts::word(needed(zone, "timezone")?)?;
            let zone = TimeZone::get(&zone).map_err(|_| Fault::Fails(format!("there is no time zone '{zone}'")))?;
            Ok(Py::Date(zone.to_datetime(machine.context.now()).date()))
        }
        "timestamp" => {
            let [dt] = args.bind(["dt"])?;
            match needed(dt, "dt")? {
                Py::Float(float) if !float.is_finite() => Err(Fault::Fails("it is no finite number".to_owned())),
                Py::Float(float) => Ok(Py::Int(float as i128)),
                number if number.as_int().is_some() => Ok(Py::Int(number.as_int().unwrap_or(0))),
                text => Ok(Py::Float(str_to_datetime(text)?.seconds())),
            }
        }
        "str_to_datetime" => {
            let [text] = args.bind(["s"])?;
            str_to_datetime(needed(text, "s")?).map(Py::Moment)
        }
        "max" | "min" => {
            if !args.named.is_empty() {
                return Err(Fault::Type(format!("{name}() takes no keyword arguments")));
            }
            let items = match <[Py; 1]>::try_from(args.pos) {
                Ok([items]) => items.items()?,
                Err(items) if items.is_empty() => return Err(Fault::Type(format!("{name}() needs an argument"))),
                Err(items) => items,
            };
            let found = sorting::extreme(machine, items, name == "max", |item| Ok(item.clone()))?;
            found.ok_or_else(|| Fault::Fails(format!("{name}() of nothing")))
        }
        "day_delta" => {
            let [days, format] = args.bind(["num_days", "format"])?;
            let days = needed(days, "num_days")?;
            let days = days.as_number().ok_or_else(|| Fault::kind("a number of days", &days))?;
            let microseconds = days * DAY as f64;
            if microseconds.is_nan() || microseconds.abs() > 4e17 {
                return Err(Fault::Fails("day_delta: too many days".to_owned()));
            }
            let moment = now(machine)?.plus_microseconds(microseconds.round_ties_even() as i64).map_err(fails)?;
            let format = format.map_or(Ok(Text::Borrowed("%Y-%m-%dT%H:%M:%S.%f%z")), texts::word)?;
            Ok(Py::text(datetime::strftime(&moment, &format)))
        }
        "duration" => {
            let [text] = args.bind(["datestring"])?;
            let duration = IsoDuration::parse(&texts::word(needed(text, "datestring")?)?).map_err(fails)?;
            Ok(if duration.is_fixed() { Py::Delta(duration.microseconds) } else { Py::Duration(duration) })
        }
        "format_datetime" => format_datetime(args),
        "sanitize_url" => {
            let [value] = args.bind(["value"])?;
            Ok(Py::text(quote_plus(&texts::word(needed(value, "value")?)?)))
        }
        "camel_case_to_snake_case" => {
            let [value] = args.bind(["value"])?;
            let mut out = String::new();
            for (i, c) in texts::word(needed(value, "value")?)?.chars().enumerate() {
                if i > 0 && c.is_ascii_uppercase() {
                    out.push('_');
                }
                out.extend(c.to_lowercase());
            }
            Ok(Py::text(out))
        }
        "generate_uuid" => {
            args.bind([])?;
            let bits = machine.context.entropy();
            let bits = bits.ok_or_else(|| Fault::Fails("generate_uuid() is not available here".to_owned()))?;
            Ok(Py::text(uuid(bits)))
        }
        _ => {
            let members = std::rc::Rc::default();
            for source in &args.pos {
                for (key, value) in source.members() {
                    methods::put(&members, key, value);
                }
            }
            for (key, value) in args.named {
                methods::put(&members, Py::Text(key), value);
            }
            Ok(if name == "dict" { Py::Dict(members) } else { Py::Namespace(members) })
        }
    }
}

fn now(machine: &Machine) -> Result<Moment, Fault> {
    Moment::utc(machine.context.now()).map_err(fails)
}

fn str_to_datetime(text: Py) -> Result<Moment, Fault> {
    read_iso(&texts::word(text)?).and_then(|moment| moment.to_utc()).map_err(fails)
}

fn format_datetime<'a>(args: Args<'a>) -> Outcome<'a> {
    let [dt, format, input] = args.bind(["dt", "format", "input_format"])?;
    let dt = needed(dt, "dt")?;
    let format = texts::word(needed(format, "format")?)?;
    let input = match input {
        None | Some(Py::None | Py::Undefined(_)) => None,
        Some(input) => Some(texts::word(input)?).filter(|input| !input.is_empty()),
    };
    let moment = match (&dt, input) {
        (Py::Moment(moment), _) => return Ok(Py::text(datetime::strftime(moment, &format))),
        (Py::Int(_) | Py::Bool(_), input) => {
            let int = dt.as_int().unwrap_or(0);
            datetime::parse(&int.to_string(), input.as_deref().unwrap_or("%s")).map_err(fails)?
        }
        (_, Some(input)) => datetime::strptime(&texts::word(dt)?, &input).map_err(fails)?,
        (_, None) => str_to_datetime(dt)?,
    };
    Ok(Py::text(datetime::format(&moment.or_utc(), &format)))
}

/// Percent-encoded as a form has it, spaces as `+`.
pub(super) fn quote_plus(text: &str) -> String {
    quote(text, "_.-~ ").replace(' ', "+")
}

/// Percent-encoded but for ASCII letters, digits and what is safe.
pub(super) fn quote(text: &str, safe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || safe.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&format!("{byte:02X}"));
        }
    }
    out
}

/// Version 4 of these bits.
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) | 4 << 76;
    let bits = bits & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// `int(value)`, or nothing.
pub(super) fn to_int(value: &Py, base: u32) -> Option<i128> {
    match value {
        Py::Text(text) => number::parse_int(text, base).or_else(|| number::parse_float(text).and_then(whole)),
        Py::Float(float) => whole(*float),
        other => other.as_int(),
    }
}

fn whole(float: f64) -> Option<i128> {
    (float.is_finite() && float.abs() < 1e38).then_some(float as i128)
}
