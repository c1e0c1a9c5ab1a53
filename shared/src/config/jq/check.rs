//! Finds what is wrong with a program before jq's own compiler does, where Teal can say it better.

use jaq_core::load::lex::{Lexer, StrPart};
use jaq_core::load::parse::{BinaryOp, Parser, Pattern, Term};
use jaq_core::path::Part;

use super::library::REFUSED;
use super::{JqError, at, shorten};

const PURE: &str = "a rebuild must give the same rows, so a program may only depend on its input";

pub(super) fn check(source: &str) -> Result<(), JqError> {
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
