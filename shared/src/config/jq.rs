//! jq programs, compiled once.
//!
//! Owns compiling and running a program over one JSON value. Owns no meaning of its outputs.
//!
//! Always holds: a program is a pure function of its input, because a rebuild must give the same rows.
//! Whatever reads the clock, the environment, files or further input, prints, or halts is refused by name
//! when it is compiled. Running compiles nothing. A program can't run for ever: definitions can't call
//! themselves, and the loops that jq comes with (`range`, `repeat`, `recurse`, `while`, `until`) take steps
//! from a budget that one run has. No clock is read to stop a program.
//!
//! What stays unbounded, so that a configuration has to be trusted this far: the size of one value
//! (`"x" * 1e9`), its depth (a loop that nests a value tens of thousands of levels deep overflows the
//! stack), and what loops over the elements of large values multiply to.

mod budget;
mod check;
mod library;
#[cfg(test)]
mod tests;
mod values;

use std::cell::Cell;
use std::fmt;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars};
use jaq_json::Val;
use serde_json::Value as Json;

use self::budget::{Bounded, Budget};

/// Steps of loops that one run may take.
pub const MAX_STEPS: u64 = 100_000;

/// A compiled program. It can be run from several threads at once.
pub struct Program {
    source: String,
    /// `None` where none is ever run.
    filter: Option<Filter<Bounded>>,
}

/// How a text becomes a program: [`Program::compile`] or [`Program::unread`].
pub type Compile = fn(&str) -> Result<Program, JqError>;

/// A value in the form that programs take; making it copies the value once.
#[derive(Clone, Debug)]
pub struct Input(Val);

impl Input {
    #[must_use]
    pub fn new(json: &Json) -> Self {
        Self(values::to_val(json))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JqError {
    /// The program can't be used. Line and column are in the program, from 1.
    #[error("jq program, line {line}, column {column}: {problem}")]
    Program { line: usize, column: usize, problem: String },
    /// The program said so, or did what can't be done with its input.
    #[error("the jq program failed: {0}")]
    Failed(String),
    #[error("the jq program gives more than {0} results; make it give fewer, or use 'each' for lists")]
    TooManyOutputs(usize),
    #[error("the jq program took more than {MAX_STEPS} steps; it may loop for ever")]
    TooManySteps,
    #[error("the jq program gives a value that JSON can't hold: {0}")]
    NotJson(&'static str),
}

impl Program {
    pub fn compile(source: &str) -> Result<Self, JqError> {
        check::check(source)?;
        let arena = Arena::default();
        let (definitions, natives) = library::needed(source);
        let modules = Loader::new(definitions)
            .load(&arena, File { code: source, path: () })
            .map_err(|_| at(source, source, "it can't be read; write one jq expression"))?;
        let filter = Compiler::default().with_funs(natives).compile(modules).map_err(|errors| {
            let undefined = errors.into_iter().flat_map(|(_, errors)| errors).next();
            match undefined {
                Some((name, kind)) => {
                    at(source, name, format!("there is no {} '{name}' with these arguments in jq", kind.as_str()))
                }
                None => at(source, source, "it can't be compiled"),
            }
        })?;
        Ok(Self { source: source.to_owned(), filter: Some(filter) })
    }

    /// For who runs no program: the text alone, so that jq is not even linked.
    pub fn unread(source: &str) -> Result<Self, JqError> {
        Ok(Self { source: source.to_owned(), filter: None })
    }

    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// All outputs, of which there may be at most `bound`.
    pub fn run(&self, input: &Json, bound: usize) -> Result<Vec<Json>, JqError> {
        self.run_on(&Input::new(input), bound)
    }

    /// [`Program::run`], where several programs have the same input.
    pub fn run_on(&self, input: &Input, bound: usize) -> Result<Vec<Json>, JqError> {
        self.outputs(input, bound, false)
    }

    /// Whether the first output is `true`. Any other value, or none, is not.
    pub fn is_true(&self, input: &Json) -> Result<bool, JqError> {
        self.is_true_on(&Input::new(input))
    }

    /// [`Program::is_true`], where several programs have the same input.
    pub fn is_true_on(&self, input: &Input) -> Result<bool, JqError> {
        Ok(self.outputs(input, 1, true)?.first() == Some(&Json::Bool(true)))
    }

    fn outputs(&self, input: &Input, bound: usize, stop_there: bool) -> Result<Vec<Json>, JqError> {
        let Some(filter) = &self.filter else {
            return Err(JqError::Failed("it was loaded for somebody who runs no programs".to_owned()));
        };
        let left = Cell::new(MAX_STEPS);
        let context = Ctx::<Bounded>::new(Budget { lut: &filter.lut, left: &left }, Vars::new([]));
        let mut results = filter.id.run((context, input.0.clone())).map(jaq_core::unwrap_valr);
        let mut outputs = Vec::new();
        loop {
            if outputs.len() == bound && stop_there {
                return Ok(outputs);
            }
            let result = results.next();
            if left.get() == 0 {
                return Err(JqError::TooManySteps);
            }
            match result {
                None => return Ok(outputs),
                Some(Err(error)) => return Err(JqError::Failed(shorten(&error.to_string()))),
                Some(Ok(_)) if outputs.len() == bound => return Err(JqError::TooManyOutputs(bound)),
                Some(Ok(value)) => outputs.push(values::to_json(&value, 0)?),
            }
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.source).finish()
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// An error at `part`, which is a slice of `source` where jq gave one back.
fn at(source: &str, part: &str, problem: impl Into<String>) -> JqError {
    let offset = (part.as_ptr() as usize).wrapping_sub(source.as_ptr() as usize);
    let before = source.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    JqError::Program { line, column, problem: problem.into() }
}

fn shorten(text: &str) -> String {
    const MOST: usize = 160;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST - 1).chain(['…']).collect() }
}
