//! What a call passes, and how a rendering ends early.

use super::shared::Text;
use super::value::Py;

/// Why a rendering ended early, as Python would tell.
#[derive(Debug)]
pub(super) enum Fault {
    /// Looked into something missing.
    Undefined(String),
    /// A `TypeError`. Whoever renders gives the template's text back unrendered.
    Type(String),
    Forbidden(String),
    Stopped(String),
    /// Every other exception.
    Fails(String),
}

impl Fault {
    pub fn endless() -> Self {
        Self::Stopped("it takes too long; look for a loop that is too large".to_owned())
    }

    pub fn kind(expected: &str, found: &Py) -> Self {
        match found {
            Py::Undefined(name) => Self::Undefined(name.to_string()),
            found => Self::Type(format!("expected {expected}, not {}", found.kind())),
        }
    }
}

pub(super) type Outcome<'a> = Result<Py<'a>, Fault>;

/// What a call passes.
#[derive(Default)]
pub(super) struct Args<'a> {
    pub pos: Vec<Py<'a>>,
    pub named: Vec<(Text<'a>, Py<'a>)>,
}

impl<'a> Args<'a> {
    /// The arguments by parameter; too many, unknown or doubled ones are a fault.
    pub fn bind<const N: usize>(self, names: [&str; N]) -> Result<[Option<Py<'a>>; N], Fault> {
        let mut bound: [Option<Py<'a>>; N] = [const { None }; N];
        if self.pos.len() > N {
            return Err(Fault::Type(format!("takes {N} arguments but {} were given", self.pos.len())));
        }
        for (place, value) in bound.iter_mut().zip(self.pos) {
            *place = Some(value);
        }
        for (name, value) in self.named {
            match names.iter().position(|known| **known == *name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                _ => return Err(Fault::Type(format!("unexpected argument '{name}'"))),
            }
        }
        Ok(bound)
    }
}

/// An argument that can't be left out.
pub(super) fn needed<'a>(arg: Option<Py<'a>>, name: &str) -> Outcome<'a> {
    arg.ok_or_else(|| Fault::Type(format!("missing a required argument: '{name}'")))
}
