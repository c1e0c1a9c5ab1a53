//! Which names a template takes from its context, by Jinja's rules: a name that is set before it is used is the
//! template's own, but not when a branch is the first to set it, nor outside the loop or block that set it.

use std::collections::BTreeSet;

use super::ir::{Arg, Expr, Stmt, Target};
use super::macros;

/// In the order of the alphabet; macros and globals are not among them.
pub(super) fn taken(statements: &[Stmt]) -> Vec<Box<str>> {
    let mut names = Names { frames: vec![BTreeSet::new()], taken: BTreeSet::new() };
    names.statements(statements);
    names.taken.into_iter().filter(|name| !macros::is_global(name)).map(Into::into).collect()
}

struct Names<'t> {
    frames: Vec<BTreeSet<&'t str>>,
    taken: BTreeSet<&'t str>,
}

impl<'t> Names<'t> {
    fn statements(&mut self, statements: &'t [Stmt]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn inner(&mut self, set: impl FnOnce(&mut Self), body: &'t [Stmt]) {
        self.frames.push(BTreeSet::new());
        set(self);
        self.statements(body);
        self.frames.pop();
    }

    fn set(&mut self, target: &'t Target) {
        match target {
            Target::Name(name) => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.insert(name);
                }
            }
            Target::Tuple(targets) => targets.iter().for_each(|target| self.set(target)),
            Target::Member(name, _) => self.name(name),
        }
    }

    fn name(&mut self, name: &'t str) {
        if !self.frames.iter().any(|frame| frame.contains(name)) {
            self.taken.insert(name);
        }
    }

    fn statement(&mut self, statement: &'t Stmt) {
        match statement {
            Stmt::Raw(_) => {}
            Stmt::Emit(expr) => self.expr(expr),
            Stmt::If(test, then, otherwise) => {
                self.expr(test);
                let before = self.frames.last().cloned().unwrap_or_default();
                self.statements(then);
                let then = self.frames.last_mut().map(|frame| std::mem::replace(frame, before.clone()));
                self.statements(otherwise);
                if let Some(frame) = self.frames.last_mut() {
                    frame.extend(then.unwrap_or_default());
                }
                // What a branch sets for the first time is looked up outside too, even if both do.
                let (frame, outer) = self.frames.split_last().expect("there is always a frame");
                let set: Vec<&str> = frame.difference(&before).copied().collect();
                let known = |name: &&str| outer.iter().any(|frame| frame.contains(name));
                self.taken.extend(set.into_iter().filter(|name| !known(name)));
            }
            Stmt::For(for_loop) => {
                self.expr(&for_loop.iter);
                self.frames.push(BTreeSet::new());
                self.set(&for_loop.target);
                if let Some(filter) = &for_loop.filter {
                    self.expr(filter);
                }
                if let Some(frame) = self.frames.last_mut() {
                    frame.insert("loop");
                }
                self.statements(&for_loop.body);
                self.frames.pop();
                self.inner(|_| {}, &for_loop.otherwise);
            }
            Stmt::With(assignments, body) => {
                assignments.iter().for_each(|(_, value)| self.expr(value));
                self.inner(|names| assignments.iter().for_each(|(target, _)| names.set(target)), body);
            }
            Stmt::Set(target, value) => {
                self.expr(value);
                self.set(target);
            }
            Stmt::Capture(target, filter, body) => {
                self.inner(|_| {}, body);
                if let Some(filter) = filter {
                    self.expr(filter);
                }
                self.set(target);
            }
            Stmt::Filtered(filter, body) => {
                self.inner(|_| {}, body);
                self.expr(filter);
            }
        }
    }

    fn args(&mut self, args: &'t [Arg]) {
        args.iter().for_each(|arg| self.expr(arg.expr()));
    }

    fn expr(&mut self, expr: &'t Expr) {
        match expr {
            Expr::None | Expr::Bool(_) | Expr::Int(_) | Expr::Float(_) | Expr::Text(_) | Expr::Piped => {}
            Expr::Var(name) => self.name(name),
            Expr::Attr(inner, _) | Expr::Not(inner) | Expr::Neg(inner) => self.expr(inner),
            Expr::Item(left, right) | Expr::And(left, right) | Expr::Or(left, right) | Expr::Binary(_, left, right) => {
                self.expr(left);
                self.expr(right);
            }
            Expr::Slice(inner, bounds) => {
                self.expr(inner);
                bounds.iter().flatten().for_each(|bound| self.expr(bound));
            }
            Expr::Compare(first, others) => {
                self.expr(first);
                others.iter().for_each(|(_, other)| self.expr(other));
            }
            Expr::If(test, then, otherwise) => {
                self.expr(test);
                self.expr(then);
                otherwise.iter().for_each(|otherwise| self.expr(otherwise));
            }
            Expr::Filter(_, inner, args) => {
                self.expr(inner);
                self.args(args);
            }
            Expr::Test(_, inner, args) => {
                self.expr(inner);
                self.args(args);
            }
            Expr::Call(inner, args) => {
                self.expr(inner);
                self.args(args);
            }
            Expr::List(items) | Expr::Tuple(items) | Expr::Concat(items) => {
                items.iter().for_each(|item| self.expr(item));
            }
            Expr::Dict(members) => members.iter().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
        }
    }
}
