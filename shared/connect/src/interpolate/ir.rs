//! A compiled template: minijinja's tree, checked, owned, with filters and tests looked up.

use super::checks::Check;
use super::filters::Filter;

#[derive(Debug)]
pub(super) enum Stmt {
    Raw(Box<str>),
    Emit(Expr),
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    For(Box<For>),
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    Set(Target, Expr),
    /// What the body prints, through the filters, under a name.
    Capture(Target, Option<Expr>, Vec<Stmt>),
    /// What the body prints, through the filters.
    Filtered(Expr, Vec<Stmt>),
}

#[derive(Debug)]
pub(super) struct For {
    pub target: Target,
    pub iter: Expr,
    pub filter: Option<Expr>,
    pub body: Vec<Stmt>,
    pub otherwise: Vec<Stmt>,
}

#[derive(Debug)]
pub(super) enum Target {
    Name(Box<str>),
    Tuple(Vec<Target>),
    Member(Box<str>, Box<str>),
}

#[derive(Debug)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Box<str>),
    /// What a block of filters filters.
    Piped,
    Var(Box<str>),
    Attr(Box<Expr>, Box<str>),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    If(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
    Filter(Filter, Box<Expr>, Vec<Arg>),
    Test(Check, Box<Expr>, Vec<Arg>),
    Call(Box<Expr>, Vec<Arg>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

#[derive(Debug)]
pub(super) enum Arg {
    Pos(Expr),
    Named(Box<str>, Expr),
    Spread(Expr),
    SpreadNamed(Expr),
}

impl Arg {
    pub fn expr(&self) -> &Expr {
        match self {
            Self::Pos(expr) | Self::Named(_, expr) | Self::Spread(expr) | Self::SpreadNamed(expr) => expr,
        }
    }
}
