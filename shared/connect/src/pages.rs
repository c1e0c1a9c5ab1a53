//! How a listing goes from page to page: where it starts, what is asked, where an answer leads.
//!
//! Always holds: a listing ends. What would make it go on for ever (a cursor seen before, an empty page that
//! claims more) is a failure, never a page.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::form::Form;
use crate::path::Dotted;
use crate::yaml::{Complaints, Node};

#[derive(Debug)]
pub enum Pages {
    /// One answer holds everything.
    One,
    Page {
        param: String,
        first: u64,
        size: Option<Size>,
        /// Where an answer says how many pages there are. Without it a listing ends with its first empty
        /// page.
        total_pages: Option<Dotted>,
        /// Where an answer says how many records there are. When that number falls during a listing, records
        /// have moved to pages that were read already, and those are read again.
        total: Option<Dotted>,
    },
    Cursor {
        param: String,
        next: Dotted,
        size: Option<Size>,
    },
}

#[derive(Debug)]
pub struct Size {
    pub param: String,
    pub size: u64,
}

/// Which page a position stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spot {
    One,
    Page(Numbered),
    Cursor(Cursor),
}

/// A page's number, and how many records there were when the one before was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    pub page: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

/// A cursor, and what is needed to notice that a source goes round in circles of any length: one earlier
/// cursor, replaced after 1, 2, 4, … pages, so that positions stay small.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
    #[serde(default)]
    since_mark: u64,
    #[serde(default)]
    until_mark: u64,
}

/// Where a page leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Lead {
    Next(Spot),
    End,
}

impl Pages {
    pub fn read(node: &Node, complaints: &mut Complaints) -> Option<Self> {
        let mut form = Form::open("'pages'", node, complaints)?;
        let (style, at) = form.required_text("style")?;
        let pages = match style.as_str() {
            "page" => {
                let param = form.required_text("param");
                let first = form.number("first", 0).unwrap_or(1);
                let size = size(&mut form, node);
                let total_pages = form.path("total_pages");
                let total = form.path("total");
                if total.is_some() && size.is_none() {
                    form.complaints.add(node.at, "'total' needs 'size_param' and 'size', to know which pages moved");
                }
                param.map(|(param, _)| Self::Page { param, first, size, total_pages, total })
            }
            "cursor" => {
                let param = form.required_text("param");
                let next = form.required_path("next");
                let size = size(&mut form, node);
                param.zip(next).map(|((param, _), next)| Self::Cursor { param, next, size })
            }
            _ => {
                form.complaints.add(at, format_args!("there is no page style '{style}'; write 'page' or 'cursor'"));
                return None;
            }
        };
        form.done();
        pages
    }

    pub fn first(&self) -> Spot {
        match self {
            Self::One => Spot::One,
            Self::Page { first, .. } => Spot::Page(Numbered { page: *first, total: None }),
            Self::Cursor { .. } => Spot::Cursor(Cursor::default()),
        }
    }

    /// The query members that ask for a spot; `None` when the spot is of another style.
    pub fn query(&self, spot: &Spot) -> Option<Vec<(&str, String)>> {
        let mut query = Vec::new();
        let size = match (self, spot) {
            (Self::One, Spot::One) => &None,
            (Self::Page { param, size, .. }, Spot::Page(spot)) => {
                query.push((param.as_str(), spot.page.to_string()));
                size
            }
            (Self::Cursor { param, size, .. }, Spot::Cursor(cursor)) => {
                query.extend(cursor.value.clone().map(|value| (param.as_str(), value)));
                size
            }
            _ => return None,
        };
        query.extend(size.as_ref().map(|size| (size.param.as_str(), size.size.to_string())));
        Some(query)
    }

    /// Where an answer with `count` records leads from `spot`. An error is why the answer is not to be
    /// believed.
    pub fn lead(&self, spot: &Spot, body: &Value, count: usize) -> Result<Lead, String> {
        let lead = match (self, spot) {
            (Self::Page { first, total_pages, total, .. }, Spot::Page(spot)) => {
                let total = total.as_ref().map(|path| whole(path, body)).transpose()?;
                let page = spot.page.checked_add(1).ok_or("the listing has more pages than there are numbers")?;
                let next = Lead::Next(Spot::Page(Numbered { page, total }));
                match total_pages {
                    None if count == 0 => Lead::End,
                    None => next,
                    Some(path) if page >= first.saturating_add(whole(path, body)?) => Lead::End,
                    Some(_) => next,
                }
            }
            (Self::Cursor { next, .. }, Spot::Cursor(cursor)) => match next.find(body) {
                None | Some(Value::Null) => Lead::End,
                Some(Value::String(text)) if text.is_empty() => Lead::End,
                Some(Value::String(text)) => Lead::Next(Spot::Cursor(cursor.step(text.clone())?)),
                Some(Value::Number(number)) => Lead::Next(Spot::Cursor(cursor.step(number.to_string())?)),
                Some(_) => return Err(format!("what stands at '{next}' is no cursor")),
            },
            _ => Lead::End,
        };
        if count == 0 && lead != Lead::End {
            return Err("the page is empty, yet claims that more follow".to_owned());
        }
        Ok(self.back(spot, body).map_or(lead, |spot| Lead::Next(Spot::Page(spot))))
    }

    /// The page to read again, when records that were listed before this one have gone: each that went moved
    /// all that follow it up by one, perhaps over the edge of a page that was read already. This ends, because
    /// it takes a falling number to go back. What it can't see is one that goes while another comes.
    fn back(&self, spot: &Spot, body: &Value) -> Option<Numbered> {
        let (Self::Page { first, size: Some(size), total: Some(path), .. }, Spot::Page(spot)) = (self, spot) else {
            return None;
        };
        let now = whole(path, body).ok()?;
        let gone = spot.total?.checked_sub(now).filter(|gone| *gone > 0)?;
        let page = spot.page.saturating_sub(gone.div_ceil(size.size)).max(*first);
        (page < spot.page).then_some(Numbered { page, total: Some(now) })
    }
}

fn whole(path: &Dotted, body: &Value) -> Result<u64, String> {
    path.find(body).and_then(Value::as_u64).ok_or_else(|| format!("there is no whole number at '{path}'"))
}

impl Cursor {
    fn step(&self, next: String) -> Result<Self, String> {
        if self.value.as_ref() == Some(&next) || self.mark.as_ref() == Some(&next) {
            return Err("the source gave a cursor again that it had given before; the listing would never end".into());
        }
        let due = self.since_mark >= self.until_mark;
        Ok(Self {
            mark: if due { Some(next.clone()) } else { self.mark.clone() },
            since_mark: if due { 1 } else { self.since_mark + 1 },
            until_mark: if due { (self.until_mark * 2).max(1) } else { self.until_mark },
            value: Some(next),
        })
    }
}

fn size(form: &mut Form<'_, '_>, node: &Node) -> Option<Size> {
    let param = form.text("size_param");
    let size = form.number("size", 1);
    match (param, size) {
        (Some((param, _)), Some(size)) => Some(Size { param, size }),
        (None, None) => None,
        _ => {
            form.complaints.add(node.at, "'size_param' and 'size' go together; give both or neither");
            None
        }
    }
}
