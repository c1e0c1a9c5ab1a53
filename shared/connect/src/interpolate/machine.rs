//! Carries a compiled template out: statements, names, expressions.
//!
//! Always holds: every step takes fuel, so a template ends; what it prints is bounded.

use std::rc::Rc;

use crate::value::Value;

use super::call::{Args, Fault, Outcome};
use super::context::Context;
use super::ir::{Arg, Comparison, Expr, For, Op, Stmt, Target};
use super::shared::Text;
use super::value::{LoopState, Py};
use super::{macros, methods, operators, print};

/// Steps of one rendering; a step is an expression, an item of a loop, or some bytes of text.
const FUEL: usize = 1_000_000;
/// Bytes that one rendering may print, and that one of its texts may have.
pub(super) const MAX_OUTPUT: usize = 16 * 1024 * 1024;

pub(super) struct Machine<'a> {
    pub context: &'a Context<'a>,
    parameters: Option<&'a Value>,
    names: Vec<(&'a str, Py<'a>)>,
    /// Where the names of the innermost loop or block begin.
    frame: usize,
    fuel: usize,
    loops: usize,
    piped: Option<Py<'a>>,
}

impl<'a> Machine<'a> {
    pub fn new(context: &'a Context<'a>, parameters: Option<&'a Value>) -> Self {
        Self { context, parameters, names: Vec::new(), frame: 0, fuel: FUEL, loops: 0, piped: None }
    }

    pub fn burn(&mut self, steps: usize) -> Result<(), Fault> {
        match self.fuel.checked_sub(steps) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => Err(Fault::endless()),
        }
    }

    /// The whole value is about to be walked through: printed, compared, kept.
    pub fn walk(&mut self, value: &Py) -> Result<(), Fault> {
        let steps = self.units(value)? / 4;
        self.burn(steps)
    }

    /// The value is about to be compared with that many others.
    pub fn search(&mut self, others: usize, value: &Py) -> Result<(), Fault> {
        let steps = self.units(value)?.saturating_mul(others) / 4;
        self.burn(steps)
    }

    fn units(&self, value: &Py) -> Result<usize, Fault> {
        let most = self.fuel.saturating_mul(4);
        let mut left = most;
        value.walk(&mut left, 0)?;
        Ok(most - left)
    }

    /// The text, or the members that are looked through one by one, are about to be gone over.
    fn pass(&mut self, value: &Py) -> Result<(), Fault> {
        match value {
            Py::Text(text) => self.burn(text.len() / 64),
            Py::Dict(members) | Py::Namespace(members) => self.burn(members.borrow().len() / 8),
            _ => Ok(()),
        }
    }

    /// A text of this size is about to be made.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        self.holds(bytes)?;
        self.burn(bytes / 32)
    }

    /// A text has become as large as this.
    pub fn holds(&self, bytes: usize) -> Result<(), Fault> {
        if bytes > MAX_OUTPUT {
            return Err(Fault::Stopped(format!("it makes a text of more than {MAX_OUTPUT} bytes")));
        }
        Ok(())
    }

    pub fn run(&mut self, statements: &'a [Stmt], out: &mut String) -> Result<(), Fault> {
        for statement in statements {
            self.statement(statement, out)?;
            if out.len() > MAX_OUTPUT {
                return Err(Fault::Stopped(format!("it prints more than {MAX_OUTPUT} bytes")));
            }
        }
        Ok(())
    }

    fn statement(&mut self, statement: &'a Stmt, out: &mut String) -> Result<(), Fault> {
        self.burn(1)?;
        match statement {
            Stmt::Raw(raw) => {
                self.grow(raw.len())?;
                out.push_str(raw);
            }
            Stmt::Emit(expr) => {
                let value = self.expr(expr)?;
                self.walk(&value)?;
                let before = out.len();
                print::write_text(out, &value)?;
                self.grow(out.len() - before)?;
            }
            Stmt::If(test, then, otherwise) => {
                let body = if self.truth(test)? { then } else { otherwise };
                self.run(body, out)?;
            }
            Stmt::For(for_loop) => self.for_loop(for_loop, out)?,
            Stmt::With(assignments, body) => {
                let values = assignments.iter().map(|(_, value)| self.expr(value)).collect::<Result<Vec<_>, _>>()?;
                self.framed(|machine| {
                    for ((target, _), value) in assignments.iter().zip(values) {
                        machine.set(target, value)?;
                    }
                    machine.run(body, out)
                })?;
            }
            Stmt::Set(target, value) => {
                let value = self.expr(value)?;
                self.set(target, value)?;
            }
            Stmt::Capture(target, filter, body) => {
                let mut inner = String::new();
                self.framed(|machine| machine.run(body, &mut inner))?;
                let value = match filter {
                    Some(filter) => self.pipe(filter, inner)?,
                    None => Py::text(inner),
                };
                self.set(target, value)?;
            }
            Stmt::Filtered(filter, body) => {
                let mut inner = String::new();
                self.framed(|machine| machine.run(body, &mut inner))?;
                let value = self.pipe(filter, inner)?;
                self.walk(&value)?;
                print::write_text(out, &value)?;
            }
        }
        Ok(())
    }

    fn pipe(&mut self, filter: &'a Expr, text: String) -> Outcome<'a> {
        let before = self.piped.replace(Py::text(text));
        let value = self.expr(filter);
        self.piped = before;
        value
    }

    fn framed<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let (frame, names) = (self.frame, self.names.len());
        self.frame = names;
        let done = run(self);
        self.names.truncate(names);
        self.frame = frame;
        done
    }

    fn for_loop(&mut self, for_loop: &'a For, out: &mut String) -> Result<(), Fault> {
        let items = self.expr(&for_loop.iter)?;
        self.pass(&items)?;
        self.burn(items.len().unwrap_or(0))?;
        let mut items = items.items()?;
        if let Some(filter) = &for_loop.filter {
            let mut kept = Vec::new();
            for item in items {
                let keep = self.framed(|machine| {
                    machine.set(&for_loop.target, item.clone())?;
                    machine.truth(filter)
                })?;
                if keep {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.framed(|machine| machine.run(&for_loop.otherwise, out));
        }
        let items = Rc::new(items);
        self.loops += 1;
        for index in 0..items.len() {
            self.framed(|machine| {
                machine.set(&for_loop.target, items[index].clone())?;
                let state = LoopState { items: items.clone(), index, depth: machine.loops };
                machine.names.push(("loop", Py::Loop(Rc::new(state))));
                machine.run(&for_loop.body, out)
            })?;
        }
        self.loops -= 1;
        Ok(())
    }

    fn set(&mut self, target: &'a Target, value: Py<'a>) -> Result<(), Fault> {
        self.walk(&value)?;
        match target {
            Target::Name(name) => match self.names[self.frame..].iter_mut().find(|(known, _)| *known == &**name) {
                Some(known) => known.1 = value,
                None => self.names.push((name, value)),
            },
            Target::Tuple(targets) => {
                let values = value.items()?;
                if values.len() != targets.len() {
                    return Err(Fault::Fails(format!("{} values for {} names", values.len(), targets.len())));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.set(target, value)?;
                }
            }
            Target::Member(name, member) => match self.name(name) {
                Py::Namespace(members) => {
                    if value.holds(Rc::as_ptr(&members).cast()) {
                        return Err(Fault::Fails("a namespace can't hold itself".to_owned()));
                    }
                    methods::put(&members, Py::Text(Text::Borrowed(member)), value);
                }
                _ => return Err(Fault::Fails(format!("only members of a namespace can be set, and '{name}' is none"))),
            },
        }
        Ok(())
    }

    fn name(&self, name: &'a str) -> Py<'a> {
        if let Some((_, value)) = self.names.iter().rev().find(|(known, _)| *known == name) {
            return value.clone();
        }
        if name == "parameters"
            && let Some(parameters) = self.parameters
        {
            return Py::of(parameters);
        }
        match self.context.get(name) {
            Some(variable) => Py::shown(variable),
            // Every component has some, if only none.
            None if name == "parameters" => Py::dict(Vec::new()),
            None if macros::is_global(name) => Py::Function(Text::Borrowed(name)),
            None => Py::undefined(name),
        }
    }

    pub fn truth(&mut self, expr: &'a Expr) -> Result<bool, Fault> {
        Ok(self.expr(expr)?.is_true())
    }

    pub fn expr(&mut self, expr: &'a Expr) -> Outcome<'a> {
        self.burn(1)?;
        match expr {
            Expr::None => Ok(Py::None),
            Expr::Bool(truth) => Ok(Py::Bool(*truth)),
            Expr::Int(int) => Ok(Py::Int(*int)),
            Expr::Float(float) => Ok(Py::Float(*float)),
            Expr::Text(text) => Ok(Py::Text(Text::Borrowed(text))),
            Expr::Piped => Ok(self.piped.clone().unwrap_or(Py::None)),
            Expr::Var(name) => Ok(self.name(name)),
            Expr::Attr(owner, name) => {
                let owner = self.expr(owner)?;
                methods::attribute(owner, Text::Borrowed(name))
            }
            Expr::Item(owner, key) => {
                let owner = self.expr(owner)?;
                let key = self.expr(key)?;
                self.pass(&owner)?;
                methods::item(owner, key)
            }
            Expr::And(left, right) => {
                let left = self.expr(left)?;
                if left.is_true() { self.expr(right) } else { Ok(left) }
            }
            Expr::Or(left, right) => {
                let left = self.expr(left)?;
                if left.is_true() { Ok(left) } else { self.expr(right) }
            }
            Expr::Not(inner) => Ok(Py::Bool(!self.truth(inner)?)),
            Expr::If(test, then, otherwise) => {
                if self.truth(test)? {
                    return self.expr(then);
                }
                match otherwise {
                    Some(otherwise) => self.expr(otherwise),
                    None => Ok(Py::undefined("an 'if' without 'else'")),
                }
            }
            other => self.larger(other),
        }
    }

    /// The kinds of expressions that need more of the stack.
    #[inline(never)]
    fn larger(&mut self, expr: &'a Expr) -> Outcome<'a> {
        match expr {
            Expr::Neg(inner) => {
                let value = self.expr(inner)?;
                operators::negate(&value)
            }
            Expr::Binary(op, left, right) => self.binary(*op, left, right),
            Expr::Concat(parts) => self.concat(parts),
            Expr::Compare(first, others) => self.compare(first, others),
            Expr::Slice(owner, bounds) => {
                let owner = self.expr(owner)?;
                let mut values = [const { None }; 3];
                for (value, bound) in values.iter_mut().zip(bounds.iter()) {
                    *value = bound.as_ref().map(|bound| self.expr(bound)).transpose()?;
                }
                self.burn(owner.len().unwrap_or(0) / 8)?;
                operators::slice(owner, values)
            }
            Expr::Filter(filter, input, args) => {
                let input = self.expr(input)?;
                let args = self.args(args)?;
                filter.apply(self, input, args)
            }
            Expr::Test(test, input, args) => {
                let input = self.expr(input)?;
                let args = self.args(args)?;
                self.pass(&input)?;
                (test.0)(self, input, args).map(Py::Bool)
            }
            Expr::Call(callee, args) => self.call(callee, args),
            Expr::List(items) => self.exprs(items).map(Py::list),
            Expr::Tuple(items) => self.exprs(items).map(Py::tuple),
            Expr::Dict(members) => {
                let dict = Rc::default();
                for (key, value) in members {
                    let key = self.expr(key)?;
                    Py::dict(Vec::new()).member(&key)?;
                    methods::put(&dict, key, self.expr(value)?);
                    self.burn(dict.borrow().len() / 8)?;
                }
                Ok(Py::Dict(dict))
            }
            _ => self.expr(expr),
        }
    }

    fn exprs(&mut self, exprs: &'a [Expr]) -> Result<Vec<Py<'a>>, Fault> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    fn binary(&mut self, op: Op, left: &'a Expr, right: &'a Expr) -> Outcome<'a> {
        let left = self.expr(left)?;
        let right = self.expr(right)?;
        operators::binary(self, op, left, right)
    }

    fn concat(&mut self, parts: &'a [Expr]) -> Outcome<'a> {
        let mut out = String::new();
        for part in parts {
            let part = self.expr(part)?;
            self.walk(&part)?;
            print::write_text(&mut out, &part)?;
            self.grow(out.len())?;
        }
        Ok(Py::text(out))
    }

    fn compare(&mut self, first: &'a Expr, others: &'a [(Comparison, Expr)]) -> Outcome<'a> {
        let mut left = self.expr(first)?;
        for (comparison, right) in others {
            let right = self.expr(right)?;
            if !operators::compare(self, *comparison, &left, &right)? {
                return Ok(Py::Bool(false));
            }
            left = right;
        }
        Ok(Py::Bool(true))
    }

    fn call(&mut self, callee: &'a Expr, args: &'a [Arg]) -> Outcome<'a> {
        // A method is called on the spot, with no value in between.
        if let Expr::Attr(owner, name) = callee {
            let owner = self.expr(owner)?;
            if methods::is_method(&owner, name) {
                let args = self.args(args)?;
                return methods::call(self, &owner, name, args);
            }
            let callee = methods::attribute(owner, Text::Borrowed(name))?;
            let args = self.args(args)?;
            return self.call_value(callee, args);
        }
        let callee = self.expr(callee)?;
        let args = self.args(args)?;
        self.call_value(callee, args)
    }

    fn call_value(&mut self, callee: Py<'a>, args: Args<'a>) -> Outcome<'a> {
        match callee {
            Py::Method(owner, name) => methods::call(self, &owner, &name, args),
            Py::Function(name) => macros::call(self, &name, args),
            Py::Undefined(name) => Err(Fault::Undefined(name.to_string())),
            other => Err(Fault::Type(format!("'{}' object is not callable", other.kind()))),
        }
    }

    fn args(&mut self, args: &'a [Arg]) -> Result<Args<'a>, Fault> {
        let mut passed = Args { pos: Vec::with_capacity(args.len()), named: Vec::new() };
        for arg in args {
            let value = self.expr(arg.expr())?;
            self.walk(&value)?;
            match arg {
                Arg::Pos(_) => passed.pos.push(value),
                Arg::Named(name, _) => passed.named.push((Text::Borrowed(name), value)),
                Arg::Spread(_) => passed.pos.extend(value.items()?),
                Arg::SpreadNamed(_) => {
                    for (key, value) in value.members() {
                        match key {
                            Py::Text(key) => passed.named.push((key, value)),
                            other => return Err(Fault::kind("a text as keyword", &other)),
                        }
                    }
                }
            }
        }
        Ok(passed)
    }
}
