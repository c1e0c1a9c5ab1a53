//! Template text to a compiled template.
//!
//! minijinja's parser reads the text; what Jinja has and manifests can't use (macros, inclusion, inheritance)
//! is refused here, as are filters and tests that don't exist. Texts are bounded before they are parsed, so
//! that no tree is deeper than it can be walked.

use minijinja::machinery::{Token, WhitespaceConfig, ast, parse, tokenize};

use super::error::{TemplateError, shown};
use super::ir::{Arg, Comparison, Expr, For, Op, Stmt, Target};
use super::{checks, filters};

/// Bytes of one template.
const MAX_TEXT: usize = 256 * 1024;
/// Words and signs inside one tag.
const MAX_TAG: usize = 2000;
/// Tags in one template.
const MAX_TAGS: usize = 500;
const MAX_DEPTH: usize = 100;

pub(super) fn compile(text: &str) -> Result<Vec<Stmt>, TemplateError> {
    bounded(text)?;
    let tree = parse(text, "template", Default::default(), WhitespaceConfig::default())
        .map_err(|error| syntax(text, error.detail().unwrap_or("it is not a template")))?;
    let ast::Stmt::Template(template) = &tree else { return Err(syntax(text, "it is not a template")) };
    Compiler { text }.statements(&template.children, 0)
}

fn syntax(text: &str, why: impl Into<String>) -> TemplateError {
    TemplateError::Syntax { template: shown(text), why: why.into() }
}

fn bounded(text: &str) -> Result<(), TemplateError> {
    let too_large = |why: String| TemplateError::TooLarge { template: shown(text), why };
    if text.len() > MAX_TEXT {
        return Err(too_large(format!("more than {MAX_TEXT} bytes")));
    }
    let (mut tags, mut size) = (0, 0);
    for token in tokenize(text, false, Default::default(), WhitespaceConfig::default()) {
        match token {
            Ok((Token::VariableStart | Token::BlockStart, _)) => {
                tags += 1;
                size = 0;
            }
            Ok(_) => size += 1,
            Err(_) => break,
        }
        if size > MAX_TAG || tags > MAX_TAGS {
            return Err(too_large(format!("more than {MAX_TAGS} tags, or {MAX_TAG} words in one")));
        }
    }
    Ok(())
}

struct Compiler<'t> {
    text: &'t str,
}

type Result_<T> = Result<T, TemplateError>;

impl Compiler<'_> {
    fn refuse(&self, what: &str) -> TemplateError {
        syntax(self.text, format!("{what} can't be used in a manifest"))
    }

    fn statements(&self, statements: &[ast::Stmt], depth: usize) -> Result_<Vec<Stmt>> {
        statements.iter().map(|statement| self.statement(statement, depth + 1)).collect()
    }

    fn statement(&self, statement: &ast::Stmt, depth: usize) -> Result_<Stmt> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let expr = |expr: &ast::Expr| self.expr(expr, 0);
        let body = |body: &[ast::Stmt]| self.statements(body, depth);
        Ok(match statement {
            ast::Stmt::EmitRaw(raw) => Stmt::Raw(raw.raw.into()),
            ast::Stmt::EmitExpr(emit) => Stmt::Emit(expr(&emit.expr)?),
            ast::Stmt::IfCond(cond) => Stmt::If(expr(&cond.expr)?, body(&cond.true_body)?, body(&cond.false_body)?),
            ast::Stmt::ForLoop(for_loop) => {
                if for_loop.recursive {
                    return Err(self.refuse("a recursive loop"));
                }
                Stmt::For(Box::new(For {
                    target: self.target(&for_loop.target)?,
                    iter: expr(&for_loop.iter)?,
                    filter: for_loop.filter_expr.as_ref().map(expr).transpose()?,
                    body: body(&for_loop.body)?,
                    otherwise: body(&for_loop.else_body)?,
                }))
            }
            ast::Stmt::WithBlock(with) => {
                let assignments = with.assignments.iter();
                let assignments = assignments.map(|(target, value)| Ok((self.target(target)?, expr(value)?)));
                Stmt::With(assignments.collect::<Result_<_>>()?, body(&with.body)?)
            }
            ast::Stmt::Set(set) => Stmt::Set(self.target(&set.target)?, expr(&set.expr)?),
            ast::Stmt::SetBlock(set) => {
                Stmt::Capture(self.target(&set.target)?, set.filter.as_ref().map(expr).transpose()?, body(&set.body)?)
            }
            ast::Stmt::FilterBlock(block) => Stmt::Filtered(expr(&block.filter)?, body(&block.body)?),
            ast::Stmt::AutoEscape(_) => return Err(self.refuse("{% autoescape %}")),
            ast::Stmt::Do(_) => return Err(self.refuse("{% do %}")),
            _ => return Err(self.refuse("this block")),
        })
    }

    fn too_deep(&self) -> TemplateError {
        TemplateError::TooLarge { template: shown(self.text), why: format!("nested more than {MAX_DEPTH} levels deep") }
    }

    fn target(&self, target: &ast::Expr) -> Result_<Target> {
        match target {
            ast::Expr::Var(var) => Ok(Target::Name(var.id.into())),
            ast::Expr::List(list) => {
                Ok(Target::Tuple(list.items.iter().map(|item| self.target(item)).collect::<Result_<_>>()?))
            }
            ast::Expr::GetAttr(attr) => match &attr.expr {
                ast::Expr::Var(var) => Ok(Target::Member(var.id.into(), attr.name.into())),
                _ => Err(syntax(self.text, "only a name, or a name's member, can be set")),
            },
            _ => Err(syntax(self.text, "only a name, or a name's member, can be set")),
        }
    }

    fn boxed(&self, expr: &ast::Expr, depth: usize) -> Result_<Box<Expr>> {
        self.expr(expr, depth).map(Box::new)
    }

    fn exprs(&self, exprs: &[ast::Expr], depth: usize) -> Result_<Vec<Expr>> {
        exprs.iter().map(|expr| self.expr(expr, depth)).collect()
    }

    fn expr(&self, expr: &ast::Expr, depth: usize) -> Result_<Expr> {
        let depth = depth + 1;
        if depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        Ok(match expr {
            ast::Expr::Var(var) => Expr::Var(var.id.into()),
            ast::Expr::Const(constant) => self.constant(&constant.value)?,
            ast::Expr::Slice(_) | ast::Expr::GetAttr(_) | ast::Expr::GetItem(_) | ast::Expr::Call(_) => {
                self.postfix(expr, depth)?
            }
            ast::Expr::UnaryOp(unary) => {
                let inner = self.boxed(&unary.expr, depth)?;
                match unary.op {
                    ast::UnaryOpKind::Not => Expr::Not(inner),
                    ast::UnaryOpKind::Neg => Expr::Neg(inner),
                }
            }
            ast::Expr::BinOp(binary) => self.binary(binary, depth)?,
            ast::Expr::Compare(compare) => {
                let ops = compare.ops.iter();
                let ops = ops.map(|op| Ok((comparison(op.op), self.expr(&op.expr, depth)?)));
                Expr::Compare(self.boxed(&compare.expr, depth)?, ops.collect::<Result_<_>>()?)
            }
            ast::Expr::IfExpr(cond) => Expr::If(
                self.boxed(&cond.test_expr, depth)?,
                self.boxed(&cond.true_expr, depth)?,
                cond.false_expr.as_ref().map(|expr| self.boxed(expr, depth)).transpose()?,
            ),
            ast::Expr::Filter(filter) => {
                let run = filters::find(filter.name)
                    .ok_or_else(|| syntax(self.text, format!("there is no filter '{}'", filter.name)))?;
                let input = match &filter.expr {
                    Some(expr) => self.boxed(expr, depth)?,
                    None => Box::new(Expr::Piped),
                };
                Expr::Filter(run, input, self.args(&filter.args, depth)?)
            }
            ast::Expr::Test(test) => {
                let run = checks::find(test.name)
                    .ok_or_else(|| syntax(self.text, format!("there is no test '{}'", test.name)))?;
                Expr::Test(run, self.boxed(&test.expr, depth)?, self.args(&test.args, depth)?)
            }
            ast::Expr::List(list) => {
                let items = self.exprs(&list.items, depth)?;
                // Tuples are lists to minijinja, and only their bracket tells.
                let tuple = self.text.as_bytes().get(expr.span().start_offset as usize) == Some(&b'(');
                if tuple { Expr::Tuple(items) } else { Expr::List(items) }
            }
            ast::Expr::Map(map) => {
                let members = map.keys.iter().zip(&map.values);
                let members = members.map(|(key, value)| Ok((self.expr(key, depth)?, self.expr(value, depth)?)));
                Expr::Dict(members.collect::<Result_<_>>()?)
            }
        })
    }

    fn postfix(&self, expr: &ast::Expr, depth: usize) -> Result_<Expr> {
        let owner = owner_of(expr).map(|owner| self.boxed(owner, depth)).transpose()?.unwrap_or(Box::new(Expr::None));
        // To minijinja `-a.b` is `(-a).b`; to Jinja it is `-(a.b)`.
        let (owner, negated) = match *owner {
            Expr::Neg(inner) if belongs_outside(expr) => (inner, true),
            owner => (Box::new(owner), false),
        };
        let whole = match expr {
            ast::Expr::GetAttr(attr) => Expr::Attr(owner, attr.name.into()),
            ast::Expr::GetItem(item) => Expr::Item(owner, self.boxed(&item.subscript_expr, depth)?),
            ast::Expr::Call(call) => Expr::Call(owner, self.args(&call.args, depth)?),
            ast::Expr::Slice(slice) => {
                let bound = |bound: &Option<ast::Expr>| bound.as_ref().map(|b| self.expr(b, depth)).transpose();
                let bounds = [bound(&slice.start)?, bound(&slice.stop)?, bound(&slice.step)?];
                Expr::Slice(owner, Box::new(bounds))
            }
            _ => *owner,
        };
        Ok(if negated { Expr::Neg(Box::new(whole)) } else { whole })
    }

    fn binary(&self, binary: &ast::BinOp, depth: usize) -> Result_<Expr> {
        use ast::BinOpKind as Kind;
        let left = self.boxed(&binary.left, depth)?;
        let right = self.boxed(&binary.right, depth)?;
        let comparison = match binary.op {
            Kind::Eq => Some(Comparison::Eq),
            Kind::Ne => Some(Comparison::Ne),
            Kind::Lt => Some(Comparison::Lt),
            Kind::Lte => Some(Comparison::Le),
            Kind::Gt => Some(Comparison::Gt),
            Kind::Gte => Some(Comparison::Ge),
            Kind::In => Some(Comparison::In),
            _ => None,
        };
        if let Some(comparison) = comparison {
            return Ok(Expr::Compare(left, vec![(comparison, *right)]));
        }
        let op = match binary.op {
            Kind::Add => Op::Add,
            Kind::Sub => Op::Sub,
            Kind::Mul => Op::Mul,
            Kind::Div => Op::Div,
            Kind::FloorDiv => Op::FloorDiv,
            Kind::Rem => Op::Rem,
            Kind::Pow => Op::Pow,
            Kind::ScAnd => return Ok(Expr::And(left, right)),
            Kind::ScOr => return Ok(Expr::Or(left, right)),
            Kind::Concat => {
                return Ok(Expr::Concat(match *left {
                    Expr::Concat(mut parts) => {
                        parts.push(*right);
                        parts
                    }
                    left => vec![left, *right],
                }));
            }
            _ => return Err(syntax(self.text, "an operator is unknown")),
        };
        Ok(Expr::Binary(op, left, right))
    }

    fn constant(&self, value: &minijinja::Value) -> Result_<Expr> {
        use minijinja::value::ValueKind;
        Ok(match value.kind() {
            ValueKind::None => Expr::None,
            ValueKind::Bool => Expr::Bool(value.is_true()),
            ValueKind::String => Expr::Text(value.as_str().unwrap_or_default().into()),
            ValueKind::Number if value.is_integer() => {
                Expr::Int(i128::try_from(value.clone()).map_err(|_| syntax(self.text, "a number is too large"))?)
            }
            _ => Expr::Float(f64::try_from(value.clone()).map_err(|_| syntax(self.text, "a number can't be read"))?),
        })
    }

    fn args(&self, args: &[ast::CallArg], depth: usize) -> Result_<Vec<Arg>> {
        args.iter()
            .map(|arg| {
                Ok(match arg {
                    ast::CallArg::Pos(expr) => Arg::Pos(self.expr(expr, depth)?),
                    ast::CallArg::Kwarg(name, expr) => Arg::Named((*name).into(), self.expr(expr, depth)?),
                    ast::CallArg::PosSplat(expr) => Arg::Spread(self.expr(expr, depth)?),
                    ast::CallArg::KwargSplat(expr) => Arg::SpreadNamed(self.expr(expr, depth)?),
                })
            })
            .collect()
    }
}

fn comparison(op: ast::CompareOpKind) -> Comparison {
    match op {
        ast::CompareOpKind::Eq => Comparison::Eq,
        ast::CompareOpKind::Ne => Comparison::Ne,
        ast::CompareOpKind::Lt => Comparison::Lt,
        ast::CompareOpKind::Lte => Comparison::Le,
        ast::CompareOpKind::Gt => Comparison::Gt,
        ast::CompareOpKind::Gte => Comparison::Ge,
        ast::CompareOpKind::In => Comparison::In,
        ast::CompareOpKind::NotIn => Comparison::NotIn,
    }
}

/// What a member, item, slice or call is of.
fn owner_of<'e, 't>(expr: &'e ast::Expr<'t>) -> Option<&'e ast::Expr<'t>> {
    match expr {
        ast::Expr::GetAttr(attr) => Some(&attr.expr),
        ast::Expr::GetItem(item) => Some(&item.expr),
        ast::Expr::Call(call) => Some(&call.expr),
        ast::Expr::Slice(slice) => Some(&slice.expr),
        _ => None,
    }
}

/// Whether the sign that begins `expr`, outside of any bracket, is of all of it.
fn belongs_outside(expr: &ast::Expr) -> bool {
    match owner_of(expr) {
        Some(owner @ ast::Expr::UnaryOp(_)) => owner.span().start_offset == expr.span().start_offset,
        Some(owner) => belongs_outside(owner),
        None => false,
    }
}
