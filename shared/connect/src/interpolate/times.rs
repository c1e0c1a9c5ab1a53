//! What dates, moments and differences between them can do in a template.

use jiff::civil::{Date, DateTime, Time};

use super::call::{Args, Fault, Outcome, needed};
use super::value::Py;
use crate::datetime::{self, DAY, DatetimeError, Moment, Precision};

const MOMENT: &[&str] =
    &["strftime", "isoformat", "timestamp", "date", "weekday", "isoweekday", "replace", "astimezone", "toordinal"];
const DATE: &[&str] = &["strftime", "isoformat", "weekday", "isoweekday", "replace", "toordinal"];

pub(super) fn is_method(owner: &Py, name: &str) -> bool {
    match owner {
        Py::Moment(_) => MOMENT.contains(&name),
        Py::Date(_) => DATE.contains(&name),
        _ => name == "total_seconds",
    }
}

pub(super) fn attribute<'a>(owner: &Py<'a>, name: &str) -> Option<Py<'a>> {
    let civil = match owner {
        Py::Moment(moment) => moment.civil(),
        Py::Date(date) => date.to_datetime(Time::midnight()),
        Py::Delta(microseconds) => {
            return Some(Py::Int(i128::from(match name {
                "days" => microseconds.div_euclid(DAY),
                "seconds" => microseconds.rem_euclid(DAY) / 1_000_000,
                "microseconds" => microseconds.rem_euclid(1_000_000),
                _ => return None,
            })));
        }
        Py::Duration(duration) => {
            return Some(match name {
                "years" => Py::Int(duration.years.into()),
                "months" => Py::Int(duration.months.into()),
                "tdelta" => Py::Delta(duration.microseconds),
                _ => return attribute(&Py::Delta(duration.microseconds), name),
            });
        }
        _ => return None,
    };
    let number = match name {
        "year" => i128::from(civil.year()),
        "month" => civil.month().into(),
        "day" => civil.day().into(),
        "hour" => civil.hour().into(),
        "minute" => civil.minute().into(),
        "second" => civil.second().into(),
        "microsecond" => (civil.subsec_nanosecond() / 1000).into(),
        _ => return None,
    };
    let of_date = matches!(name, "year" | "month" | "day");
    (of_date || matches!(owner, Py::Moment(_))).then_some(Py::Int(number))
}

pub(super) fn call<'a>(owner: &Py<'a>, name: &str, args: Args<'a>) -> Outcome<'a> {
    let moment = match owner {
        Py::Moment(moment) => *moment,
        Py::Date(date) => Moment::new(date.to_datetime(Time::midnight()), None).map_err(fails)?,
        Py::Delta(microseconds) => return Ok(Py::Float(*microseconds as f64 / 1e6)),
        other => return Err(Fault::kind("a date", other)),
    };
    let date = moment.date();
    match name {
        "strftime" => {
            let [format] = args.bind(["format"])?;
            match needed(format, "format")? {
                Py::Text(format) => Ok(Py::text(datetime::strftime(&moment, &format))),
                other => Err(Fault::kind("a text as format", &other)),
            }
        }
        "isoformat" => {
            if matches!(owner, Py::Date(_)) {
                return args.bind([]).map(|[]| Py::text(date.to_string()));
            }
            let [separator, precision] = args.bind(["sep", "timespec"])?;
            let separator = match &separator {
                None => 'T',
                Some(text) => one_character(text).ok_or_else(|| Fault::kind("a text of one character", text))?,
            };
            let precision = match &precision {
                None => Precision::Auto,
                Some(Py::Text(name)) => Precision::of(name)
                    .ok_or_else(|| Fault::Fails(format!("isoformat: there is no timespec '{name}'")))?,
                Some(other) => return Err(Fault::kind("a text as timespec", other)),
            };
            let mut out = String::new();
            moment.write_iso_to(&mut out, separator, precision);
            Ok(Py::text(out))
        }
        "timestamp" => Ok(Py::Float(moment.seconds())),
        "date" => Ok(Py::Date(date)),
        "weekday" => Ok(Py::Int(date.weekday().to_monday_zero_offset().into())),
        "isoweekday" => Ok(Py::Int(date.weekday().to_monday_one_offset().into())),
        "toordinal" => Ok(Py::Int(i128::from(moment.or_utc().microseconds().div_euclid(DAY)) + 719_163)),
        "astimezone" => moment.to_utc().map(Py::Moment).map_err(fails),
        _ => replace(owner, &moment, args),
    }
}

fn one_character(text: &Py) -> Option<char> {
    let mut characters = text.as_str()?.chars();
    characters.next().filter(|_| characters.next().is_none())
}

fn replace<'a>(owner: &Py<'a>, moment: &Moment, args: Args<'a>) -> Outcome<'a> {
    let parts = args.bind(["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"])?;
    let civil = moment.civil();
    let old = [
        i128::from(civil.year()),
        civil.month().into(),
        civil.day().into(),
        civil.hour().into(),
        civil.minute().into(),
        civil.second().into(),
        moment.microsecond().into(),
    ];
    let mut new = old;
    for (new, part) in new.iter_mut().zip(&parts) {
        if let Some(part) = part {
            *new = part.as_int().ok_or_else(|| Fault::kind("an integer", part))?;
        }
    }
    let replaced = (|| {
        let date = Date::new(new[0].try_into().ok()?, new[1].try_into().ok()?, new[2].try_into().ok()?).ok()?;
        let nanosecond = i32::try_from(new[6]).ok()?.checked_mul(1000)?;
        let time = Time::new(new[3].try_into().ok()?, new[4].try_into().ok()?, new[5].try_into().ok()?, nanosecond);
        Some(DateTime::from_parts(date, time.ok()?))
    })();
    let replaced = replaced.ok_or_else(|| Fault::Fails("replace: there is no such date".to_owned()))?;
    let offset = if matches!(parts[7], Some(Py::None)) { None } else { moment.offset() };
    let replaced = Moment::new(replaced, offset).map_err(fails)?;
    Ok(if matches!(owner, Py::Date(_)) { Py::Date(replaced.date()) } else { Py::Moment(replaced) })
}

pub(super) fn fails(error: DatetimeError) -> Fault {
    Fault::Fails(error.to_string())
}
