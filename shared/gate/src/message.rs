//! What was signed, as a template whose pieces are joined as bytes.

use crate::form;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Body,
    /// The header's text, as it came.
    Timestamp,
    Id,
    /// The address that the sender was given, query and all.
    Url,
    /// Form fields by name, names and values decoded, nothing between them.
    SortedForm,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error(
        "'{{{0}}}' is nothing that is signed; there are {{body}}, {{timestamp}}, {{id}}, {{url}} and {{sorted_form}}"
    )]
    Unknown(String),
    #[error("a '{{' is not closed")]
    Open,
    #[error("the body is not part of what is signed; write {{body}} (or {{sorted_form}}) into it")]
    NoBody,
}

/// What the pieces stand for in one request.
pub(crate) struct Parts<'a> {
    pub body: &'a [u8],
    pub timestamp: &'a str,
    pub id: &'a str,
    pub url: &'a str,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].to_owned()));
            }
            let (name, after) = rest[at + 1..].split_once('}').ok_or(TemplateError::Open)?;
            pieces.push(match name {
                "body" => Piece::Body,
                "timestamp" => Piece::Timestamp,
                "id" => Piece::Id,
                "url" => Piece::Url,
                "sorted_form" => Piece::SortedForm,
                other => return Err(TemplateError::Unknown(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let whole = pieces.iter().any(|piece| matches!(piece, Piece::Body | Piece::SortedForm));
        if whole { Ok(Self(pieces)) } else { Err(TemplateError::NoBody) }
    }

    #[must_use]
    pub fn has(&self, piece: &Piece) -> bool {
        self.0.contains(piece)
    }

    /// Whether an id of these characters could be mistaken for an id and what follows it.
    pub(crate) fn is_torn_by(&self, id: &str) -> bool {
        self.0.windows(2).any(|pair| match pair {
            [Piece::Id, Piece::Text(text)] => id.contains(text.as_str()),
            _ => false,
        })
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    pub(crate) fn feed(&self, parts: &Parts<'_>, mut take: impl FnMut(&Piece, &[u8])) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => take(piece, text.as_bytes()),
                Piece::Body => take(piece, parts.body),
                Piece::Timestamp => take(piece, parts.timestamp.as_bytes()),
                Piece::Id => take(piece, parts.id.as_bytes()),
                Piece::Url => take(piece, parts.url.as_bytes()),
                Piece::SortedForm => take(piece, &form::sorted(parts.body)),
            }
        }
    }

    pub(crate) fn bytes(&self, parts: &Parts<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(parts.body.len() + 128);
        self.feed(parts, |_, bytes| out.extend_from_slice(bytes));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_piece_by_piece_or_refused() {
        let template = Template::parse("v0:{timestamp}:{body}").unwrap();
        let text = |text: &str| Piece::Text(text.into());
        assert_eq!(template.0, [text("v0:"), Piece::Timestamp, text(":"), Piece::Body]);
        assert_eq!(Template::parse("{bodi}"), Err(TemplateError::Unknown("bodi".into())));
        assert_eq!(Template::parse("{body"), Err(TemplateError::Open));
        assert_eq!(Template::parse("{timestamp}"), Err(TemplateError::NoBody));
    }

    #[test]
    fn an_id_may_not_hold_what_divides_it_from_the_rest() {
        let template = Template::parse("{id}.{timestamp}.{body}").unwrap();
        assert!(template.is_torn_by("msg.1") && !template.is_torn_by("msg_1"));
    }
}
