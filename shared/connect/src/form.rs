//! Reading a map of the manifest key by key, so that every wrong or unknown key is a complaint.

use crate::path::Dotted;
use crate::yaml::{Complaints, Kind, Node, Place};

/// A map whose keys are taken one by one; [`Form::done`] complains about those that nobody wanted.
pub struct Form<'n, 'c> {
    what: String,
    at: Place,
    members: &'n [(String, Place, Node)],
    known: Vec<&'static str>,
    pub complaints: &'c mut Complaints,
}

impl<'n, 'c> Form<'n, 'c> {
    /// `None`, with a complaint, when the node is no map.
    pub fn open(what: impl Into<String>, node: &'n Node, complaints: &'c mut Complaints) -> Option<Self> {
        let what = what.into();
        match &node.kind {
            Kind::Map(members) => Some(Self { what, at: node.at, members, known: Vec::new(), complaints }),
            _ => {
                complaints.add(node.at, format_args!("{what} must be a map of keys and values"));
                None
            }
        }
    }

    pub fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        self.members.iter().find(|(name, ..)| name == key).map(|(_, _, node)| node)
    }

    pub fn require(&mut self, key: &'static str) -> Option<&'n Node> {
        let found = self.take(key);
        if found.is_none() {
            self.complaints.add(self.at, format_args!("{} has no '{key}', which it needs", self.what));
        }
        found
    }

    pub fn text(&mut self, key: &'static str) -> Option<(String, Place)> {
        let node = self.take(key)?;
        self.as_text(key, node)
    }

    pub fn required_text(&mut self, key: &'static str) -> Option<(String, Place)> {
        let node = self.require(key)?;
        self.as_text(key, node)
    }

    fn as_text(&mut self, key: &str, node: &Node) -> Option<(String, Place)> {
        match &node.kind {
            Kind::Scalar { text, .. } if !text.is_empty() => Some((text.clone(), node.at)),
            _ => {
                self.complaints.add(node.at, format_args!("'{key}' must be a text that is not empty"));
                None
            }
        }
    }

    pub fn path(&mut self, key: &'static str) -> Option<Dotted> {
        let (text, at) = self.text(key)?;
        self.as_path(key, &text, at)
    }

    pub fn required_path(&mut self, key: &'static str) -> Option<Dotted> {
        let (text, at) = self.required_text(key)?;
        self.as_path(key, &text, at)
    }

    fn as_path(&mut self, key: &str, text: &str, at: Place) -> Option<Dotted> {
        let path = Dotted::parse(text);
        if path.is_none() {
            self.complaints.add(at, format_args!("'{key}' must be a dotted path such as 'meta.pages', not '{text}'"));
        }
        path
    }

    pub fn number(&mut self, key: &'static str, least: u64) -> Option<u64> {
        let node = self.take(key)?;
        let number = match &node.kind {
            Kind::Scalar { text, plain: true } => text.parse().ok().filter(|number| *number >= least),
            _ => None,
        };
        if number.is_none() {
            self.complaints.add(node.at, format_args!("'{key}' must be a whole number, at least {least}"));
        }
        number
    }

    /// A span such as `60s`, `5m`, `2h`, `1d`.
    pub fn span(&mut self, key: &'static str) -> Option<std::time::Duration> {
        let (text, at) = self.text(key)?;
        let span = parse_span(&text);
        if span.is_none() {
            self.complaints.add(at, format_args!("'{key}' must be a span such as '60s', '5m' or '2h', not '{text}'"));
        }
        span
    }

    pub fn done(self) {
        for (name, at, _) in self.members {
            if !self.known.contains(&name.as_str()) {
                let known = self.known.join(", ");
                self.complaints.add(*at, format_args!("{} has no key '{name}'; it knows: {known}", self.what));
            }
        }
    }
}

fn parse_span(text: &str) -> Option<std::time::Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(std::time::Duration::from_secs)
}
