//! Filters of lists and mappings.

use super::call::{Args, Fault, Outcome, needed};
use super::filters::{self, Run, shown};
use super::machine::Machine;
use super::shared::Text;
use super::texts::word;
use super::value::Py;
use super::{checks, methods, operators, sorting};

pub(super) fn find(name: &str) -> Option<Run> {
    Some(match name {
        "length" | "count" => |_, value, _| {
            let length = value.len();
            length.map(|length| Py::Int(length as i128)).ok_or_else(|| Fault::kind("something with a length", &value))
        },
        "first" => {
            |_, value, _| Ok(value.items()?.into_iter().next().unwrap_or_else(|| Py::undefined("the first item")))
        }
        "last" => |_, value, _| Ok(value.items()?.pop().unwrap_or_else(|| Py::undefined("the last item"))),
        "list" => |machine, value, _| {
            let items = value.items()?;
            machine.burn(items.len())?;
            Ok(Py::list(items))
        },
        "items" => |_, value, _| match value {
            Py::Undefined(_) => Ok(Py::list(Vec::new())),
            value if value.is_mapping() => Ok(pairs(value.members())),
            other => Err(Fault::kind("a mapping", &other)),
        },
        "join" => join,
        "reverse" => |machine, value, _| {
            let mut items = value.items()?;
            machine.burn(items.len())?;
            items.reverse();
            match value {
                Py::Text(_) => Ok(Py::text(items.iter().filter_map(Py::as_str).collect::<String>())),
                _ => Ok(Py::list(items)),
            }
        },
        "sort" => sort,
        "dictsort" => dictsort,
        "unique" => unique,
        "min" => |machine, value, args| extreme(machine, value, args, false),
        "max" => |machine, value, args| extreme(machine, value, args, true),
        "sum" => sum,
        "attr" => |_, value, args| {
            let [name] = args.bind(["name"])?;
            let name = word(needed(name, "name")?)?;
            let found = methods::attribute(value.clone(), name.clone())?;
            Ok(if value.is_mapping() && value.member(&Py::Text(name))?.is_some() {
                Py::undefined("attr")
            } else {
                found
            })
        },
        "map" => map,
        "select" => |machine, value, args| select(machine, value, args, true, false),
        "reject" => |machine, value, args| select(machine, value, args, false, false),
        "selectattr" => |machine, value, args| select(machine, value, args, true, true),
        "rejectattr" => |machine, value, args| select(machine, value, args, false, true),
        "groupby" => groupby,
        "batch" => batch,
        "slice" => slice,
        _ => return None,
    })
}

fn pairs<'a>(members: Vec<(Py<'a>, Py<'a>)>) -> Py<'a> {
    Py::list(members.into_iter().map(|(key, value)| Py::tuple(vec![key, value])).collect())
}

fn is_true(value: Option<Py>) -> bool {
    value.is_some_and(|value| value.is_true())
}

/// `a.b.0` looked up in the item; without a path, the item itself.
fn look_up<'a>(item: &Py<'a>, path: Option<&Py<'a>>) -> Outcome<'a> {
    let Some(path) = path else { return Ok(item.clone()) };
    if path.as_int().is_some() {
        return methods::item(item.clone(), path.clone());
    }
    let path = path.as_str().ok_or_else(|| Fault::kind("a name or number as attribute", path))?;
    let mut value = item.clone();
    for step in path.split('.') {
        let step = step.parse().map_or_else(|_| Py::Text(Text::from(step.to_owned())), Py::Int);
        value = methods::item(value, step)?;
    }
    Ok(value)
}

/// Texts in lower case, unless case counts.
fn folded<'a>(value: Py<'a>, case_sensitive: bool) -> Py<'a> {
    match value {
        Py::Text(text) if !case_sensitive => Py::text(text.to_lowercase()),
        other => other,
    }
}

fn join<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [separator, attribute] = args.bind(["d", "attribute"])?;
    let separator = separator.map_or(Ok(Text::Borrowed("")), |separator| shown(&separator))?;
    let mut out = String::new();
    for (i, item) in value.items()?.iter().enumerate() {
        if i > 0 {
            out.push_str(&separator);
        }
        let item = look_up(item, attribute.as_ref())?;
        machine.walk(&item)?;
        out.push_str(&shown(&item)?);
        machine.holds(out.len())?;
    }
    Ok(Py::text(out))
}

fn sort<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [reverse, case, attribute] = args.bind(["reverse", "case_sensitive", "attribute"])?;
    let case = is_true(case);
    let paths: Vec<Py> = match &attribute {
        Some(Py::Text(names)) => names.split(',').map(Py::text).collect(),
        Some(other) => vec![other.clone()],
        None => Vec::new(),
    };
    let sorted = sorting::sorted_by(machine, value.items()?, is_true(reverse), |item| {
        if paths.is_empty() {
            return Ok(folded(item.clone(), case));
        }
        let keys = paths.iter().map(|path| Ok(folded(look_up(item, Some(path))?, case)));
        Ok(Py::tuple(keys.collect::<Result<_, Fault>>()?))
    })?;
    Ok(Py::list(sorted))
}

fn dictsort<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [case, by, reverse] = args.bind(["case_sensitive", "by", "reverse"])?;
    let at = i128::from(by.as_ref().and_then(Py::as_str) == Some("value"));
    let case = is_true(case);
    let items = pairs(value.members()).items()?;
    let sorted = sorting::sorted_by(machine, items, is_true(reverse), |pair| {
        Ok(folded(methods::item(pair.clone(), Py::Int(at))?, case))
    })?;
    Ok(Py::list(sorted))
}

fn unique<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [case, attribute] = args.bind(["case_sensitive", "attribute"])?;
    let case = is_true(case);
    let (mut seen, mut kept): (Vec<Py>, Vec<Py>) = (Vec::new(), Vec::new());
    for item in value.items()? {
        let key = folded(look_up(&item, attribute.as_ref())?, case);
        machine.search(seen.len() + 4, &key)?;
        if !seen.iter().any(|known| known.equals(&key)) {
            seen.push(key);
            kept.push(item);
        }
    }
    Ok(Py::list(kept))
}

fn extreme<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>, largest: bool) -> Outcome<'a> {
    let [case, attribute] = args.bind(["case_sensitive", "attribute"])?;
    let case = is_true(case);
    let found = sorting::extreme(machine, value.items()?, largest, |item| {
        Ok(folded(look_up(item, attribute.as_ref())?, case))
    })?;
    Ok(found.unwrap_or_else(|| Py::undefined("the extreme of nothing")))
}

fn sum<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [attribute, start] = args.bind(["attribute", "start"])?;
    let mut total = start.unwrap_or(Py::Int(0));
    for item in value.items()? {
        machine.burn(1)?;
        total = operators::binary(machine, super::ir::Op::Add, total, look_up(&item, attribute.as_ref())?)?;
    }
    Ok(total)
}

fn map<'a>(machine: &mut Machine<'a>, value: Py<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = value.items()?;
    machine.burn(items.len())?;
    if args.pos.is_empty() {
        let [attribute, default] = args.bind(["attribute", "default"])?;
        let attribute = needed(attribute, "attribute")?;
        let mapped = items.iter().map(|item| match (look_up(item, Some(&attribute))?, &default) {
            (Py::Undefined(_), Some(default)) => Ok(default.clone()),
            (found, _) => Ok(found),
        });
        return Ok(Py::list(mapped.collect::<Result<_, Fault>>()?));
    }
    let name = word(args.pos.remove(0))?;
    let filter = filters::find(&name).ok_or_else(|| Fault::Fails(format!("there is no filter '{name}'")))?;
    let mut mapped = Vec::with_capacity(items.len());
    for item in items {
        machine.burn(1)?;
        mapped.push(filter.apply(machine, item, Args { pos: args.pos.clone(), named: args.named.clone() })?);
    }
    Ok(Py::list(mapped))
}

fn select<'a>(
    machine: &mut Machine<'a>,
    value: Py<'a>,
    mut args: Args<'a>,
    wanted: bool,
    by_attribute: bool,
) -> Outcome<'a> {
    let attribute = (by_attribute && !args.pos.is_empty()).then(|| args.pos.remove(0));
    if by_attribute && attribute.is_none() {
        return Err(Fault::Type("missing the attribute to select by".to_owned()));
    }
    let check = if args.pos.is_empty() {
        None
    } else {
        let name = word(args.pos.remove(0))?;
        Some(checks::find(&name).ok_or_else(|| Fault::Fails(format!("there is no test '{name}'")))?)
    };
    let mut kept = Vec::new();
    for item in value.items()? {
        machine.burn(1)?;
        let subject = look_up(&item, attribute.as_ref())?;
        let passes = match check {
            Some(check) => (check.0)(machine, subject, Args { pos: args.pos.clone(), named: args.named.clone() })?,
            None => subject.is_true(),
        };
        if passes == wanted {
            kept.push(item);
        }
    }
    Ok(Py::list(kept))
}

fn groupby<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [attribute, default, case] = args.bind(["attribute", "default", "case_sensitive"])?;
    let attribute = needed(attribute, "attribute")?;
    let case = is_true(case);
    let key = |item: &Py<'a>| {
        Ok(match (look_up(item, Some(&attribute))?, &default) {
            (Py::Undefined(_), Some(default)) => default.clone(),
            (found, _) => found,
        })
    };
    let sorted = sorting::sorted_by(machine, value.items()?, false, |item| Ok(folded(key(item)?, case)))?;
    let mut groups: Vec<(Py, Vec<Py>)> = Vec::new();
    for item in sorted {
        let found: Py = key(&item)?;
        match groups.last_mut() {
            Some((known, items)) if folded(known.clone(), case).equals(&folded(found.clone(), case)) => {
                items.push(item)
            }
            _ => groups.push((found, vec![item])),
        }
    }
    Ok(Py::list(groups.into_iter().map(|(key, items)| Py::tuple(vec![key, Py::list(items)])).collect()))
}

fn batch<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [size, fill] = args.bind(["linecount", "fill_with"])?;
    let size = needed(size, "linecount")?.as_int().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    if size == 0 {
        return Err(Fault::Fails("batch: the size must be at least 1".to_owned()));
    }
    let items = value.items()?;
    machine.burn(items.len().saturating_add(if fill.is_some() { size } else { 0 }))?;
    let batches = items.chunks(size).map(|chunk| {
        let mut chunk = chunk.to_vec();
        if let Some(fill) = &fill {
            chunk.resize(size, fill.clone());
        }
        Py::list(chunk)
    });
    Ok(Py::list(batches.collect()))
}

fn slice<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [count, fill] = args.bind(["slices", "fill_with"])?;
    let count = needed(count, "slices")?.as_int().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    if count == 0 {
        return Err(Fault::Fails("slice: the number of slices must be at least 1".to_owned()));
    }
    let items = value.items()?;
    machine.burn(items.len().saturating_add(count))?;
    let (each, more) = (items.len() / count, items.len() % count);
    let mut rest = &items[..];
    let mut slices = Vec::with_capacity(count);
    for i in 0..count {
        let (this, after) = rest.split_at(each + usize::from(i < more));
        rest = after;
        let mut this = this.to_vec();
        if let Some(fill) = fill.as_ref().filter(|_| i >= more && more > 0) {
            this.push(fill.clone());
        }
        slices.push(Py::list(this));
    }
    Ok(Py::list(slices))
}
