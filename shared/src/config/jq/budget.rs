//! The steps that one run of a program may take, and what takes them.

use std::cell::Cell;

use jaq_core::data::HasLut;
use jaq_core::{Bind, Cv, DataT, Error, Exn, Lut, Native, ValX, ValXs, native};
use jaq_json::Val;

/// What a running program carries along: the compiled terms and the steps that are left.
pub(super) struct Bounded;

#[derive(Clone)]
pub(super) struct Budget<'a> {
    pub lut: &'a Lut<Bounded>,
    pub left: &'a Cell<u64>,
}

impl DataT for Bounded {
    type V<'a> = Val;
    type Data<'a> = Budget<'a>;
}

impl<'a> HasLut<'a, Bounded> for Budget<'a> {
    fn lut(&self) -> &'a Lut<Bounded> {
        self.lut
    }
}

impl Budget<'_> {
    /// Takes a step; an error once there is none left. A program may catch it, but gets no further.
    fn step<'b>(&self) -> Result<(), Exn<'b, Val>> {
        let left = self.left.get().saturating_sub(1);
        self.left.set(left);
        if left == 0 { Err(Exn::from(Error::str("no steps are left"))) } else { Ok(()) }
    }
}

pub(super) fn bounded() -> [native::Fun<Bounded>; 2] {
    [
        ("_step", native::v(0), Native::new(|cv: Cv<'_, Bounded>| one(cv.0.data().step().map(|()| Val::Null)))),
        ("range", [Bind::Var(()), Bind::Var(()), Bind::Var(())].into(), Native::new(|cv| range(cv))),
    ]
}

fn one<'a>(result: ValX<'a, Val>) -> ValXs<'a, Val> {
    Box::new(std::iter::once(result))
}

fn range<'a>(mut cv: Cv<'a, Bounded>) -> ValXs<'a, Val> {
    let by = cv.0.pop_var();
    let to = cv.0.pop_var();
    let mut next = Some(cv.0.pop_var());
    let zero = Val::from(0isize);
    let budget = cv.0.data().clone();
    Box::new(std::iter::from_fn(move || {
        let value = next.take()?;
        let inside = match by.cmp(&zero) {
            std::cmp::Ordering::Greater => value < to,
            std::cmp::Ordering::Less => value > to,
            std::cmp::Ordering::Equal => value != to,
        };
        if !inside {
            return None;
        }
        if let Err(stop) = budget.step() {
            return Some(Err(stop));
        }
        match value.clone() + by.clone() {
            Ok(after) => {
                next = Some(after);
                Some(Ok(value))
            }
            Err(error) => Some(Err(error.into())),
        }
    }))
}
