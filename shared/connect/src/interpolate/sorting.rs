//! Sorted, smallest and largest, by Python's order.

use std::cmp::Ordering;

use super::call::{Fault, Outcome};
use super::machine::Machine;
use super::value::Py;

/// The items in order; equal ones stay as they were.
pub(super) fn sorted<'a>(machine: &mut Machine<'a>, items: Vec<Py<'a>>, reverse: bool) -> Result<Vec<Py<'a>>, Fault> {
    sorted_by(machine, items, reverse, |item| Ok(item.clone()))
}

pub(super) fn sorted_by<'a>(
    machine: &mut Machine<'a>,
    items: Vec<Py<'a>>,
    reverse: bool,
    mut key: impl FnMut(&Py<'a>) -> Outcome<'a>,
) -> Result<Vec<Py<'a>>, Fault> {
    let rounds = items.len().max(1).ilog2() as usize + 1;
    machine.burn(items.len() * rounds)?;
    let mut keyed = items.into_iter().map(|item| Ok((key(&item)?, item))).collect::<Result<Vec<_>, Fault>>()?;
    keyed.iter().try_for_each(|(key, _)| machine.search(rounds, key))?;
    let mut fault = None;
    keyed.sort_by(|(a, _), (b, _)| {
        let order = a.order(b).unwrap_or_else(|found| {
            fault.get_or_insert(found);
            None
        });
        let order = order.unwrap_or(Ordering::Equal);
        if reverse { order.reverse() } else { order }
    });
    match fault {
        Some(fault) => Err(fault),
        None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
    }
}

/// The first of the largest, or of the smallest, by key.
pub(super) fn extreme<'a>(
    machine: &mut Machine<'a>,
    items: Vec<Py<'a>>,
    largest: bool,
    mut key: impl FnMut(&Py<'a>) -> Outcome<'a>,
) -> Result<Option<Py<'a>>, Fault> {
    machine.burn(items.len())?;
    let mut best: Option<(Py, Py)> = None;
    let wanted = if largest { Ordering::Greater } else { Ordering::Less };
    for item in items {
        let this = key(&item)?;
        machine.walk(&this)?;
        let better = match &best {
            Some((known, _)) => this.order(known)? == Some(wanted),
            None => true,
        };
        if better {
            best = Some((this, item));
        }
    }
    Ok(best.map(|(_, item)| item))
}
