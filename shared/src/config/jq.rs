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

use std::cell::Cell;
use std::fmt;

use jaq_core::data::HasLut;
use jaq_core::load::lex::{Lexer, StrPart};
use jaq_core::load::parse::{BinaryOp, Def, Parser, Pattern, Term};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::path::Part;
use jaq_core::{Bind, Compiler, Ctx, Cv, DataT, Error, Exn, Filter, Lut, Native, ValX, ValXs, Vars, native};
use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value as Json};

/// Steps of loops that one run may take.
pub const MAX_STEPS: u64 = 100_000;

/// Deepest value that a program may give, the same depth to which JSON is read.
const MAX_DEPTH: usize = 128;

/// Names that make a result depend on more than the input, or do more than give one.
const REFUSED: &[&str] = &[
    "now",
    "env",
    "input",
    "inputs",
    "input_filename",
    "input_line_number",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "halt",
    "halt_error",
    "localtime",
    "strflocaltime",
    "get_search_list",
];

/// The loops of jq's own library again, each turn of which takes a step.
const LOOPS: &str = r"
    def range(from; to): range(from; to; 1);
    def range(to): range(0; to);
    def repeat(f): def rec: _step as $step | f, rec; rec;
    def recurse(f): def rec: _step as $step | ., (f | rec); rec;
    def recurse: recurse(.[]?);
    def recurse(f; cond): recurse(f | select(cond));
    def while(cond; update): def rec: _step as $step | if cond then ., (update | rec) else empty end; rec;
    def until(cond; update): def rec: _step as $step | if cond then . else update | rec end; rec;
";

/// A compiled program. It can be run from several threads at once.
pub struct Program {
    source: String,
    filter: Filter<Bounded>,
}

/// A value in the form that programs take; making it copies the value once.
#[derive(Clone, Debug)]
pub struct Input(Val);

impl Input {
    #[must_use]
    pub fn new(json: &Json) -> Self {
        Self(to_val(json))
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
        check(source)?;
        let arena = Arena::default();
        let modules = Loader::new(library())
            .load(&arena, File { code: source, path: () })
            .map_err(|_| at(source, source, "it can't be read; write one jq expression"))?;
        let natives = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let natives = natives.filter(|(name, ..)| !REFUSED.contains(name) && *name != "range").chain(bounded());
        let filter = Compiler::default().with_funs(natives).compile(modules).map_err(|errors| {
            let undefined = errors.into_iter().flat_map(|(_, errors)| errors).next();
            match undefined {
                Some((name, kind)) => {
                    at(source, name, format!("there is no {} '{name}' with these arguments in jq", kind.as_str()))
                }
                None => at(source, source, "it can't be compiled"),
            }
        })?;
        Ok(Self { source: source.to_owned(), filter })
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
        let left = Cell::new(MAX_STEPS);
        let context = Ctx::<Bounded>::new(Budget { lut: &self.filter.lut, left: &left }, Vars::new([]));
        let mut results = self.filter.id.run((context, input.0.clone())).map(jaq_core::unwrap_valr);
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
                Some(Ok(value)) => outputs.push(to_json(&value, 0)?),
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

/// What a running program carries along: the compiled terms and the steps that are left.
struct Bounded;

#[derive(Clone)]
struct Budget<'a> {
    lut: &'a Lut<Bounded>,
    left: &'a Cell<u64>,
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

fn bounded() -> [native::Fun<Bounded>; 2] {
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

/// jq's own definitions, without what is refused and with the loops that count their steps.
fn library() -> impl Iterator<Item = Def<&'static str>> {
    let loops = jaq_core::load::parse(LOOPS, |p| p.defs()).expect("the loops are jq");
    let replaced: Vec<(&str, usize)> = loops.iter().map(|def| (def.name, def.args.len())).collect();
    let core: Vec<_> = jaq_core::defs().collect();
    // Each loop takes the place of the definition that it replaces, since later ones refer to it.
    let mut loops: Vec<Option<Def<&'static str>>> = loops.into_iter().map(Some).collect();
    core.into_iter()
        .map(move |def| {
            let place = replaced.iter().position(|(name, args)| *name == def.name && *args == def.args.len());
            place.and_then(|place| loops[place].take()).unwrap_or(def)
        })
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|def| !REFUSED.contains(&def.name))
}

/// Finds what is wrong before jq's own compiler does, where Teal can say it better.
fn check(source: &str) -> Result<(), JqError> {
    let tokens = Lexer::new(source).lex().map_err(|errors| match errors.into_iter().next() {
        Some((expected, found)) => at(source, found, format!("expected {}", expected.as_str())),
        None => at(source, source, "it can't be read"),
    })?;
    if let Some(word) = tokens.first().map(|token| token.0).filter(|word| matches!(*word, "import" | "include")) {
        return Err(at(source, word, "files can't be read from here; write the definitions into the program"));
    }
    let term = Parser::new(&tokens).parse(Parser::term).map_err(|errors| match errors.into_iter().next() {
        Some((expected, Some(found))) => {
            at(source, found.0, format!("expected {}, found '{}'", expected.as_str(), shorten(found.0)))
        }
        Some((expected, None)) => {
            at(source, &source[source.len()..], format!("expected {} at the end", expected.as_str()))
        }
        None => at(source, source, "it can't be read"),
    })?;
    Walk { source, open: Vec::new() }.term(&term)
}

/// Looks at every term for what is refused.
struct Walk<'s> {
    source: &'s str,
    /// Definitions that the term stands in, with the number of their arguments.
    open: Vec<(&'s str, usize)>,
}

impl<'s> Walk<'s> {
    fn term(&mut self, term: &Term<&'s str>) -> Result<(), JqError> {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Arr(None) => Ok(()),
            Term::Var(name) if matches!(*name, "$ENV" | "$__prog_args" | "$__loc__") => {
                Err(at(self.source, name, format!("'{name}' is refused: {PURE}")))
            }
            Term::Var(_) => Ok(()),
            Term::Str(_, parts) => parts.iter().try_for_each(|part| match part {
                StrPart::Term(term) => self.term(term),
                StrPart::Str(_) | StrPart::Char(_) => Ok(()),
            }),
            Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::Obj(members) => members.iter().try_for_each(|(key, value)| {
                self.term(key)?;
                value.iter().try_for_each(|value| self.term(value))
            }),
            Term::BinOp(left, op, right) => {
                if let BinaryOp::Pipe(Some(pattern)) = op {
                    self.pattern(pattern)?;
                }
                self.term(left)?;
                self.term(right)
            }
            Term::Fold(_, over, pattern, terms) => {
                self.term(over)?;
                self.pattern(pattern)?;
                terms.iter().try_for_each(|term| self.term(term))
            }
            Term::TryCatch(body, catch) => {
                self.term(body)?;
                catch.iter().try_for_each(|catch| self.term(catch))
            }
            Term::IfThenElse(branches, otherwise) => {
                for (condition, then) in branches {
                    self.term(condition)?;
                    self.term(then)?;
                }
                otherwise.iter().try_for_each(|term| self.term(term))
            }
            Term::Def(definitions, rest) => {
                for definition in definitions {
                    self.open.push((definition.name, definition.args.len()));
                    self.term(&definition.body)?;
                    self.open.pop();
                }
                self.term(rest)
            }
            Term::Call(name, arguments) => {
                self.call(name, arguments.len())?;
                arguments.iter().try_for_each(|argument| self.term(argument))
            }
            Term::Path(from, path) => {
                self.term(from)?;
                path.0.iter().try_for_each(|(part, _)| match part {
                    Part::Index(index) => self.term(index),
                    Part::Range(from, to) => from.iter().chain(to).try_for_each(|term| self.term(term)),
                })
            }
        }
    }

    fn call(&self, name: &'s str, arguments: usize) -> Result<(), JqError> {
        if REFUSED.contains(&name) {
            return Err(at(self.source, name, format!("'{name}' is refused: {PURE}")));
        }
        if self.open.contains(&(name, arguments)) {
            let problem = format!("'{name}' calls itself; use 'recurse', 'until', 'reduce' or 'range' instead");
            return Err(at(self.source, name, problem));
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) -> Result<(), JqError> {
        match pattern {
            Pattern::Var(_) => Ok(()),
            Pattern::Arr(patterns) => patterns.iter().try_for_each(|pattern| self.pattern(pattern)),
            Pattern::Obj(members) => members.iter().try_for_each(|(key, pattern)| {
                self.term(key)?;
                self.pattern(pattern)
            }),
        }
    }
}

const PURE: &str = "a rebuild must give the same rows, so a program may only depend on its input";

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

fn to_val(json: &Json) -> Val {
    match json {
        Json::Null => Val::Null,
        Json::Bool(value) => Val::Bool(*value),
        Json::Number(number) => Val::Num(match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Num::from_integral(value),
            (None, Some(value)) => Num::from_integral(value),
            (None, None) => Num::Float(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Json::String(text) => text.clone().into(),
        Json::Array(items) => items.iter().map(to_val).collect(),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| (Val::from(name.clone()), to_val(value)));
            Val::obj(members.collect::<Map>())
        }
    }
}

fn to_json(value: &Val, depth: usize) -> Result<Json, JqError> {
    if depth > MAX_DEPTH {
        return Err(JqError::NotJson("lists and objects deeper than 128 levels"));
    }
    Ok(match value {
        Val::Null => Json::Null,
        Val::Bool(value) => Json::Bool(*value),
        Val::Num(number) => number_to_json(number)?,
        Val::TStr(bytes) => Json::String(
            String::from_utf8(bytes.to_vec()).map_err(|_| JqError::NotJson("a text that is not valid UTF-8"))?,
        ),
        Val::BStr(_) => return Err(JqError::NotJson("bytes; make a text of them with 'tostring'")),
        Val::Arr(items) => Json::Array(items.iter().map(|item| to_json(item, depth + 1)).collect::<Result<_, _>>()?),
        Val::Obj(members) => {
            let mut object = serde_json::Map::new();
            for (name, value) in members.iter() {
                let Json::String(name) = to_json(name, depth + 1)? else {
                    return Err(JqError::NotJson("an object whose member has no text for a name"));
                };
                object.insert(name, to_json(value, depth + 1)?);
            }
            Json::Object(object)
        }
    })
}

fn number_to_json(number: &Num) -> Result<Json, JqError> {
    let float = |value: f64| {
        Number::from_f64(value).map(Json::Number).ok_or(JqError::NotJson("a number that is infinite or none at all"))
    };
    match number {
        Num::Int(value) => Ok(Json::from(i64::try_from(*value).unwrap_or(i64::MAX))),
        Num::Float(value) => float(*value),
        Num::BigInt(_) | Num::Dec(_) => {
            let text = number.to_string();
            match text.parse::<u64>() {
                Ok(value) => Ok(value.into()),
                Err(_) => float(text.parse().unwrap_or(f64::NAN)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
