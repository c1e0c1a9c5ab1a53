//! Texts filled in: `'%s' % x` and `'{}'.format(x)`.

use super::call::{Args, Fault, Outcome};
use super::machine::Machine;
use super::number::write_float;
use super::shared::Text;
use super::value::Py;
use super::{methods, print};

/// The widest and the most exact that anything is written.
const MAX_WIDTH: usize = 4096;

/// What to fill up with, on which side, to which width, and how to write the value.
#[derive(Default)]
struct Spec {
    fill: char,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    width: usize,
    comma: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    fn read(text: &str) -> Option<Self> {
        let mut spec = Self { fill: ' ', ..Self::default() };
        let mut chars = text.chars().peekable();
        let mut two = text.chars();
        let (first, second) = (two.next(), two.next());
        if let Some(align) = second.filter(|c| "<>^=".contains(*c)) {
            spec.fill = first?;
            spec.align = Some(align);
            chars.next();
            chars.next();
        } else if let Some(align) = first.filter(|c| "<>^=".contains(*c)) {
            spec.align = Some(align);
            chars.next();
        }
        spec.sign = chars.next_if(|c| "+- ".contains(*c));
        spec.alternate = chars.next_if_eq(&'#').is_some();
        if chars.next_if_eq(&'0').is_some() && spec.align.is_none() {
            spec.fill = '0';
            spec.align = Some('=');
        }
        let number = |chars: &mut std::iter::Peekable<std::str::Chars>| {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits
        };
        spec.width = number(&mut chars).parse().unwrap_or(0);
        spec.comma = chars.next_if(|c| matches!(c, ',' | '_'));
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut chars).parse().ok()?);
        }
        spec.kind = chars.next();
        let fits = spec.width <= MAX_WIDTH && spec.precision.unwrap_or(0) <= MAX_WIDTH;
        (chars.next().is_none() && fits).then_some(spec)
    }

    fn pad(&self, out: &mut String, text: &str, default: char) {
        let missing = self.width.saturating_sub(text.chars().count());
        let fill = |out: &mut String, count| out.extend(std::iter::repeat_n(self.fill, count));
        match self.align.unwrap_or(default) {
            '<' => {
                out.push_str(text);
                fill(out, missing);
            }
            '^' => {
                fill(out, missing / 2);
                out.push_str(text);
                fill(out, missing - missing / 2);
            }
            '=' => {
                let sign = text.len() - text.trim_start_matches(['+', '-', ' ']).len();
                out.push_str(&text[..sign]);
                fill(out, missing);
                out.push_str(&text[sign..]);
            }
            _ => {
                fill(out, missing);
                out.push_str(text);
            }
        }
    }

    fn signed(&self, negative: bool, digits: &str) -> String {
        let sign = if negative {
            "-"
        } else {
            self.sign.map_or("", |sign| {
                if sign == '-' {
                    ""
                } else if sign == '+' {
                    "+"
                } else {
                    " "
                }
            })
        };
        format!("{sign}{digits}")
    }

    fn grouped(&self, digits: &str) -> String {
        let Some(comma) = self.comma else { return digits.to_owned() };
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let mut grouped = String::new();
        for (i, digit) in digits[..end].chars().enumerate() {
            if i > 0 && (end - i) % 3 == 0 {
                grouped.push(comma);
            }
            grouped.push(digit);
        }
        grouped + &digits[end..]
    }

    fn write(&self, out: &mut String, value: &Py) -> Result<(), Fault> {
        let unknown = || Fault::Fails(format!("unknown format code for an object of type '{}'", value.kind()));
        match value {
            Py::Int(_) | Py::Bool(_) if self.kind.is_none_or(|kind| "bcdnoxX".contains(kind)) => {
                let int = value.as_int().unwrap_or(0);
                let size = int.unsigned_abs();
                let digits = match self.kind {
                    None if matches!(value, Py::Bool(_)) => return self.text(out, value),
                    Some('b') => format!("{}{size:b}", if self.alternate { "0b" } else { "" }),
                    Some('o') => format!("{}{size:o}", if self.alternate { "0o" } else { "" }),
                    Some('x') => format!("{}{size:x}", if self.alternate { "0x" } else { "" }),
                    Some('X') => format!("{}{size:X}", if self.alternate { "0X" } else { "" }),
                    Some('c') => u32::try_from(size).ok().and_then(char::from_u32).ok_or_else(unknown)?.to_string(),
                    _ => self.grouped(&size.to_string()),
                };
                self.pad(out, &self.signed(int < 0, &digits), '>');
            }
            Py::Int(_) | Py::Bool(_) | Py::Float(_) => {
                let number = value.as_number().unwrap_or(0.0);
                let digits = self.float(number.abs()).ok_or_else(unknown)?;
                self.pad(out, &self.signed(number.is_sign_negative() && !number.is_nan(), &digits), '>');
            }
            _ if self.kind.is_none_or(|kind| kind == 's') => self.text(out, value)?,
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn text(&self, out: &mut String, value: &Py) -> Result<(), Fault> {
        let mut text = String::new();
        print::write_text(&mut text, value)?;
        if let Some(precision) = self.precision {
            text = text.chars().take(precision).collect();
        }
        self.pad(out, &text, '<');
        Ok(())
    }

    fn float(&self, size: f64) -> Option<String> {
        if !size.is_finite() {
            return Some(if size.is_nan() { "nan" } else { "inf" }.to_owned());
        }
        let precision = self.precision.unwrap_or(6);
        Some(match self.kind {
            Some('f' | 'F') => self.grouped(&format!("{size:.precision$}")),
            Some('%') => format!("{:.precision$}%", size * 100.0),
            Some('e' | 'E') => {
                let text = exponent(&format!("{size:.precision$e}"));
                if self.kind == Some('E') { text.to_uppercase() } else { text }
            }
            None if self.precision.is_none() => {
                let mut out = String::new();
                write_float(&mut out, size);
                self.grouped(&out)
            }
            Some('g' | 'G') | None => {
                let precision = precision.max(1);
                let text = format!("{size:.*e}", precision - 1);
                let power: i32 = text.split_once('e').and_then(|(_, power)| power.parse().ok())?;
                if power < -4 || power >= precision as i32 {
                    let (digits, power) = text.split_once('e')?;
                    exponent(&format!("{}e{power}", trimmed(digits)))
                } else {
                    self.grouped(trimmed(&format!("{size:.*}", (precision as i32 - 1 - power) as usize)))
                }
            }
            _ => return None,
        })
    }
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn exponent(text: &str) -> String {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

/// `text % values`.
pub(super) fn percent<'a>(machine: &mut Machine<'a>, text: &str, values: &Py<'a>) -> Outcome<'a> {
    let args = match values {
        Py::Tuple(items) => items.to_vec(),
        other => vec![other.clone()],
    };
    let mut args = args.into_iter();
    let mut by_name = false;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let mut named = None;
        if let Some(inside) = rest.strip_prefix('(') {
            let (name, after) = inside.split_once(')').ok_or_else(|| Fault::Fails("incomplete format key".into()))?;
            by_name = true;
            rest = after;
            named = Some(values.member(&Py::text(name))?.ok_or_else(|| Fault::Fails(format!("there is no '{name}'")))?);
        }
        let end = rest
            .find(|c: char| !"#0- +.123456789lhL".contains(c))
            .ok_or_else(|| Fault::Fails("incomplete format".into()))?;
        let flags = rest[..end].trim_end_matches(['l', 'h', 'L']);
        let kind = rest[end..].chars().next().unwrap_or('s');
        rest = &rest[end + kind.len_utf8()..];
        let value = match named {
            Some(value) => value,
            None => args.next().ok_or_else(|| Fault::Type("not enough arguments for format string".into()))?,
        };
        let digits = flags.trim_start_matches(['#', '0', '-', ' ', '+']);
        let marks = &flags[..flags.len() - digits.len()];
        let (width, precision) =
            digits.split_once('.').map_or((digits, None), |(w, p)| (w, Some(p.parse().unwrap_or(0))));
        let mut spec = Spec {
            fill: ' ',
            align: Some('>'),
            sign: marks.chars().find(|c| *c == '+').or_else(|| marks.chars().find(|c| *c == ' ')),
            alternate: marks.contains('#'),
            width: width.parse().unwrap_or(0),
            precision,
            kind: Some(kind),
            comma: None,
        };
        if marks.contains('-') {
            spec.align = Some('<');
        } else if marks.contains('0') && !"sra".contains(kind) {
            (spec.fill, spec.align) = ('0', Some('='));
        }
        if spec.width > MAX_WIDTH || spec.precision.unwrap_or(0) > MAX_WIDTH {
            return Err(Fault::Stopped("a format is too wide".to_owned()));
        }
        match kind {
            's' => spec.text(&mut out, &value)?,
            'r' | 'a' => {
                let mut repr = String::new();
                print::write_repr(&mut repr, &value, 0)?;
                spec.text(&mut out, &Py::text(repr))?;
            }
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
                let int = match &value {
                    Py::Float(float) if "diu".contains(kind) && float.is_finite() => *float as i128,
                    other => other.as_int().ok_or_else(|| Fault::kind("a number for the format", other))?,
                };
                if "iu".contains(kind) {
                    spec.kind = Some('d');
                }
                spec.precision = None;
                spec.write(&mut out, &Py::Int(int))?;
            }
            'c' if matches!(value, Py::Text(_)) => spec.text(&mut out, &value)?,
            'f' | 'F' | 'e' | 'E' | 'g' | 'G' | 'c' => {
                if value.as_number().is_none() {
                    return Err(Fault::kind("a number for the format", &value));
                }
                spec.write(&mut out, &value)?;
            }
            other => return Err(Fault::Fails(format!("unsupported format character '{other}'"))),
        }
        machine.grow(out.len())?;
    }
    out.push_str(rest);
    if args.next().is_some() && !by_name && !values.is_mapping() {
        return Err(Fault::Type("not all arguments converted during string formatting".to_owned()));
    }
    Ok(Py::text(out))
}

/// `text.format(*pos, **named)`.
pub(super) fn braces<'a>(machine: &mut Machine<'a>, text: &str, args: &Args<'a>) -> Outcome<'a> {
    let mut out = String::with_capacity(text.len());
    let mut next = 0;
    let mut rest = text;
    let broken = |why: &str| Fault::Fails(format!("{why} in a format text"));
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(broken("a single '}'"));
        }
        let end = rest.find('}').ok_or_else(|| broken("a single '{'"))?;
        let field = &rest[..end];
        rest = &rest[end + 1..];
        if field.contains('{') {
            return Err(broken("a nested field, which can't be used,"));
        }
        let (field, spec) = field.split_once(':').unwrap_or((field, ""));
        let (field, conversion) = field.split_once('!').map_or((field, None), |(field, c)| (field, Some(c)));
        let end = field.find(['.', '[']).unwrap_or(field.len());
        let (name, path) = field.split_at(end);
        let mut value = if name.is_empty() {
            next += 1;
            args.pos.get(next - 1)
        } else if let Ok(index) = name.parse::<usize>() {
            args.pos.get(index)
        } else {
            args.named.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
        }
        .cloned()
        .ok_or_else(|| broken("a field that is not given"))?;
        let mut path = path;
        while !path.is_empty() {
            if let Some(inside) = path.strip_prefix('[') {
                let (key, after) = inside.split_once(']').ok_or_else(|| broken("a missing ']'"))?;
                let key = key.parse().map_or_else(|_| Py::text(key), Py::Int);
                value = methods::item(value, key)?;
                path = after;
            } else {
                let after = path.strip_prefix('.').ok_or_else(|| broken("a field that can't be read"))?;
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = methods::attribute(value, Text::from(after[..end].to_owned()))?;
                path = &after[end..];
            }
        }
        match conversion {
            Some("r" | "a") => {
                let mut repr = String::new();
                print::write_repr(&mut repr, &value, 0)?;
                value = Py::text(repr);
            }
            Some("s") => {
                let mut shown = String::new();
                print::write_text(&mut shown, &value)?;
                value = Py::text(shown);
            }
            Some(_) => return Err(broken("an unknown conversion")),
            None => {}
        }
        match (&value, spec) {
            (Py::Moment(moment), spec) if !spec.is_empty() => out.push_str(&crate::datetime::strftime(moment, spec)),
            (value, "") => print::write_text(&mut out, value)?,
            (value, spec) => {
                Spec::read(spec).ok_or_else(|| broken("an invalid format specifier"))?.write(&mut out, value)?;
            }
        }
        machine.grow(out.len())?;
    }
    out.push_str(rest);
    Ok(Py::text(out))
}
