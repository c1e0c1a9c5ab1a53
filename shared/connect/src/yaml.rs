//! YAML as a tree of nodes that know where they stand, and a list of complaints.
//!
//! Owns no meaning: what a key is for is the manifest's business. Anchors, aliases, tags and second
//! documents are refused, as nothing in a manifest needs them. A key that occurs twice is a complaint.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

#[derive(Clone, Debug)]
pub struct Node {
    pub at: Place,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Null,
    /// `plain` is false for quoted ones, which are texts whatever they look like.
    Scalar {
        text: String,
        plain: bool,
    },
    List,
    Map(Vec<(String, Place, Node)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong, in the order in which it was found.
#[derive(Debug, Default)]
pub struct Complaints(pub Vec<String>);

impl Complaints {
    pub fn add(&mut self, at: Place, what: impl std::fmt::Display) {
        self.0.push(format!("{at}: {what}"));
    }
}

const MAX_DEPTH: usize = 32;

/// The tree of a text; what makes it no tree at all is one error, what is only odd goes to `complaints`.
pub fn parse(text: &str, complaints: &mut Complaints) -> Result<Node, String> {
    let mut reader = Reader { parser: Parser::new_from_str(text), complaints };
    loop {
        let (event, at) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::StreamEnd | Event::DocumentEnd => return Err("the manifest is empty".to_owned()),
            other => {
                let node = reader.node(other, at, 0)?;
                return reader.end().map(|()| node);
            }
        }
    }
}

struct Reader<'input, 'c> {
    parser: Parser<'input, saphyr_parser::StrInput<'input>>,
    complaints: &'c mut Complaints,
}

impl<'input> Reader<'input, '_> {
    fn next(&mut self) -> Result<(Event<'input>, Place), String> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, place(&span.start))),
            Some(Err(error)) => Err(format!("{}: this is not YAML: {}", place(error.marker()), error.info())),
            None => Ok((Event::StreamEnd, Place { line: 1, column: 1 })),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentStart(_), at) => return Err(format!("{at}: a manifest is one YAML document")),
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'input>, at: Place, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(format!("{at}: nested deeper than any manifest needs"));
        }
        let kind = match event {
            Event::Scalar(text, style, _, _) => {
                let plain = style == ScalarStyle::Plain;
                if plain && matches!(text.as_ref(), "" | "~" | "null") {
                    Kind::Null
                } else {
                    Kind::Scalar { text: text.into_owned(), plain }
                }
            }
            Event::SequenceStart(..) => {
                loop {
                    let (event, at) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    self.node(event, at, depth + 1)?;
                }
                Kind::List
            }
            Event::MappingStart(..) => Kind::Map(self.members(depth)?),
            Event::Alias(_) => return Err(format!("{at}: aliases are not used here; write the value out")),
            _ => return Err(format!("{at}: a value was expected")),
        };
        Ok(Node { at, kind })
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(String, Place, Node)>, String> {
        let mut members: Vec<(String, Place, Node)> = Vec::new();
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(members),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(format!("{at}: a key must be a plain word")),
            };
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at, depth + 1)?;
            if members.iter().any(|(known, ..)| *known == key) {
                self.complaints.add(at, format_args!("'{key}' stands here twice; keep one of them"));
            } else {
                members.push((key, at, value));
            }
        }
    }
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}
