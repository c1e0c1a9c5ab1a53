//! What one webhook asks of its sender, and how it answers. Data; [`crate::Gate`] is what is made of it.

use crate::handshake::Ask;
use crate::message::{Piece, TemplateError};
use crate::secret::SharedSecret;
use crate::signature::{Signature, TimeSource};
use crate::sns::Sns;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub scheme: Scheme,
    /// In the order in which they are asked.
    pub asks: Vec<Ask>,
    pub answers: Answers,
    /// The address that the sender was given; needed where it is signed.
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    Signature(Signature),
    Secret(SharedSecret),
    Sns(Sns),
}

/// Where a sender proposes its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capture {
    /// The only member of a JSON body.
    Body(String),
    /// A header, which is echoed.
    Header(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Status for what is stored; the body is empty, but for 202, which names the delivery.
    pub accepted: u16,
    pub refused: Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Status(u16),
    /// As if it were accepted, and dropped: what WebSub asks for.
    Drop,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("what is signed has the address in it; write 'url', the one that the sender was given")]
    NoUrl,
    #[error("'{0}' is not the address of a webhook; write https://…, as the sender was given it")]
    Url(String),
    #[error("no topic is named; write 'topics', so that nobody else's are taken")]
    NoTopics,
    #[error("no header is named that holds the signature; write 'header'")]
    NoHeader,
    #[error("what is signed has a {{{0}}}, and nothing says where it comes from; write '{0}'")]
    NoSource(&'static str),
    #[error("'timestamp' is given and not signed, so that anybody could change it; write {{timestamp}} into 'message'")]
    UnsignedTime,
    #[error("{0} is no status for this; write one of {1}")]
    Status(u16, &'static str),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Policy {
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        if let Some(url) = &self.url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return Err(PolicyError::Url(url.clone()));
        }
        match &self.scheme {
            Scheme::Signature(signature) => self.check_signature(signature)?,
            Scheme::Sns(sns) if sns.topics.is_empty() => return Err(PolicyError::NoTopics),
            Scheme::Sns(_) | Scheme::Secret(_) => {}
        }
        if self.asks.iter().any(|ask| matches!(ask, Ask::WebSub { topics } if topics.is_empty())) {
            return Err(PolicyError::NoTopics);
        }
        if !(200..=204).contains(&self.answers.accepted) {
            return Err(PolicyError::Status(self.answers.accepted, "200 to 204"));
        }
        match self.answers.refused {
            Refused::Status(status) if !matches!(status, 400 | 401 | 403 | 404) => {
                Err(PolicyError::Status(status, "400, 401, 403, 404 and drop"))
            }
            _ => Ok(()),
        }
    }

    fn check_signature(&self, signature: &Signature) -> Result<(), PolicyError> {
        let message = &signature.message;
        if signature.headers.is_empty() {
            return Err(PolicyError::NoHeader);
        }
        if message.has(&Piece::Url) && self.url.is_none() {
            return Err(PolicyError::NoUrl);
        }
        if message.has(&Piece::Id) && signature.id.is_empty() {
            return Err(PolicyError::NoSource("id"));
        }
        match &signature.timestamp {
            Some(_) if !message.has(&Piece::Timestamp) => Err(PolicyError::UnsignedTime),
            None if message.has(&Piece::Timestamp) => Err(PolicyError::NoSource("timestamp")),
            Some(timestamp) if timestamp.from == TimeSource::Entry && signature.format.time.is_none() => {
                Err(PolicyError::NoSource("timestamp"))
            }
            _ => Ok(()),
        }
    }
}
