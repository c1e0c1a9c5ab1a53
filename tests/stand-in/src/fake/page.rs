//! How listings are cut into pages, and how an answer says that more follow.

use serde_json::{Map, Value, json};

use super::Call;
use crate::http::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Everything at once.
    None,
    /// One row, which is the whole answer.
    Single,
    /// `?page=2&per_page=30`, and `Link: <…>; rel="next"`.
    Link { size: usize },
    /// An offset and a size; the total stands in the body.
    Offset { offset: &'static str, limit: &'static str, size: usize, total: &'static str },
    /// An offset and a size; offset, size and total stand in headers `x-apify-pagination-…`.
    OffsetInHeaders { size: usize },
    /// A text that leads to the next page; `more` says in so many words whether there is one.
    Token { token: &'static str, next: &'static str, limit: &'static str, size: usize, more: Option<&'static str> },
}

impl Paging {
    /// Where the page begins and how long it may be.
    fn window(self, call: &Call<'_>) -> (usize, usize) {
        let size = |name: &str, most: usize| call.number(name).unwrap_or(most).min(most).max(1);
        match self {
            Self::None => (0, usize::MAX),
            Self::Single => (0, 1),
            Self::Link { size: most } => {
                let size = size("per_page", most);
                (call.number("page").unwrap_or(1).max(1).saturating_sub(1) * size, size)
            }
            Self::Offset { offset, limit, size: most, .. } => (call.number(offset).unwrap_or(0), size(limit, most)),
            Self::OffsetInHeaders { size: most } => (call.number("offset").unwrap_or(0), size("limit", most)),
            Self::Token { token, limit, size: most, .. } => {
                let begin = call.get(token).and_then(|token| token.strip_prefix("after-")?.parse().ok());
                (begin.unwrap_or(0), size(limit, most))
            }
        }
    }

    pub(super) fn number(self, call: &Call<'_>) -> u64 {
        let (begin, size) = self.window(call);
        (begin / size) as u64 + 1
    }

    pub(super) fn answer(self, call: &Call<'_>, rows: &[Value]) -> Reply {
        let (begin, size) = self.window(call);
        let page: Vec<Value> = rows.iter().skip(begin).take(size).cloned().collect();
        let end = begin + page.len();
        let has_more = end < rows.len();
        if self == Self::Single {
            let missing = || Reply { status: 404, ..Reply::ok(json!({ "message": "Not Found" })) };
            return page.into_iter().next().map_or_else(missing, Reply::ok);
        }
        let Some(items) = call.endpoint.items else {
            // Offsets count empty items, but nobody gets to see them.
            let filled = |page: Vec<Value>| page.into_iter().filter(|row| *row != json!({})).collect();
            return match self {
                Self::Link { .. } if has_more => {
                    let next = begin / size + 2;
                    Reply::ok(Value::Array(page))
                        .header("link", format!("<https://example.com/?page={next}>; rel=\"next\""))
                }
                Self::OffsetInHeaders { .. } => Reply::ok(Value::Array(filled(page)))
                    .header("x-apify-pagination-offset", begin.to_string())
                    .header("x-apify-pagination-limit", size.to_string())
                    .header("x-apify-pagination-total", rows.len().to_string()),
                _ => Reply::ok(Value::Array(page)),
            };
        };
        let mut body = Map::new();
        let path: Vec<&str> = items.split('/').collect();
        let (last, outer) = path.split_last().expect("a split has a part");
        match self {
            Self::Offset { total, .. } => _ = body.insert(total.to_owned(), rows.len().into()),
            Self::Token { next, more, .. } => {
                if has_more {
                    body.insert(next.to_owned(), format!("after-{end}").into());
                } else if more.is_some() {
                    body.insert(next.to_owned(), Value::Null);
                }
                if let Some(more) = more {
                    body.insert(more.to_owned(), has_more.into());
                }
            }
            _ => {}
        }
        let mut at = &mut body;
        for name in outer {
            at = at.entry(*name).or_insert_with(|| json!({})).as_object_mut().expect("it was just made");
        }
        if let Self::Offset { offset, limit, total, .. } = self
            && !outer.is_empty()
        {
            // Where rows are wrapped, so is what is said about them.
            at.extend([(offset.to_owned(), begin.into()), (limit.to_owned(), size.into())]);
            at.insert(total.to_owned(), rows.len().into());
        }
        at.insert((*last).to_owned(), Value::Array(page));
        Reply::ok(Value::Object(body))
    }
}
