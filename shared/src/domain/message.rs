//! What the stages say to each other. Small by design: raw travels by reference, never in a message.
//!
//! Always holds: every message may arrive twice, late and in any order, and names the configuration that
//! it works under through its run or directly. The envelope carries a format number, so that a message
//! from a newer Teal is refused by name instead of being misread.

use serde::{Deserialize, Serialize};

use super::names::{ConfigHash, RunId, SourceId, StreamName};
use super::raw::RawKey;
use super::run::Mode;
use super::trace::TraceParent;

/// The queue of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueName {
    Poll,
    Transform,
    Switch,
}

impl QueueName {
    pub const ALL: [Self; 3] = [Self::Poll, Self::Transform, Self::Switch];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Transform => "transform",
            Self::Switch => "switch",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Message {
    /// Start a run. A second one for a source that is already running waits for it and then starts.
    Sync {
        source: SourceId,
        mode: Mode,
        cause: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<TraceParent>,
    },
    /// Go on with a run's fetching: a continuation, a wake-up after a quota stop, a resumption.
    Continue { run: RunId },
    /// Apply the page in a slot.
    Page { run: RunId, source: SourceId, stream: StreamName, slot: u64 },
    /// Apply a webhook delivery.
    Delivery {
        config: ConfigHash,
        source: SourceId,
        raw: RawKey,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<TraceParent>,
        #[serde(default, skip_serializing_if = "Arrival::is_first")]
        arrival: Arrival,
    },
    /// Ask the source for what deliveries were about.
    Errand { source: SourceId, errand: String },
    /// See after the lease of a source's webhook, or after what it did not deliver.
    Keep { source: SourceId, what: Keep },
    /// Apply one raw object again, because an operator mended what had rejected it.
    Replay { config: ConfigHash, source: SourceId, raw: RawKey },
    /// Every page of the run is applied: verify, switch, end it.
    Settle { run: RunId },
}

/// How a delivery came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrival {
    #[default]
    First,
    /// The same bytes under the same name were stored already.
    Again,
    /// Somebody said that it is to be gone through once more, whatever came of it.
    Replayed,
}

impl Arrival {
    fn is_first(&self) -> bool {
        *self == Self::First
    }
}

/// What keeps deliveries coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    Lease,
    Gaps,
}

impl Message {
    #[must_use]
    pub fn queue(&self) -> QueueName {
        match self {
            Self::Sync { .. } | Self::Continue { .. } | Self::Errand { .. } | Self::Keep { .. } => QueueName::Poll,
            Self::Page { .. } | Self::Delivery { .. } | Self::Replay { .. } => QueueName::Transform,
            Self::Settle { .. } => QueueName::Switch,
        }
    }

    /// The same, of a delivery that was stored already.
    #[must_use]
    pub fn again(mut self) -> Self {
        if let Self::Delivery { arrival, .. } = &mut self {
            *arrival = Arrival::Again;
        }
        self
    }

    /// The run that it is about.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Continue { run } | Self::Page { run, .. } | Self::Settle { run } => Some(run),
            Self::Sync { .. }
            | Self::Delivery { .. }
            | Self::Replay { .. }
            | Self::Errand { .. }
            | Self::Keep { .. } => None,
        }
    }

    #[must_use]
    pub fn source(&self) -> Option<&SourceId> {
        match self {
            Self::Sync { source, .. }
            | Self::Page { source, .. }
            | Self::Delivery { source, .. }
            | Self::Errand { source, .. }
            | Self::Keep { source, .. }
            | Self::Replay { source, .. } => Some(source),
            Self::Continue { .. } | Self::Settle { .. } => None,
        }
    }

    #[must_use]
    pub fn stream(&self) -> Option<&StreamName> {
        if let Self::Page { stream, .. } = self { Some(stream) } else { None }
    }

    /// The story that it is part of. That of a run is on the run.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceParent> {
        match self {
            Self::Sync { trace, .. } | Self::Delivery { trace, .. } => trace.as_ref(),
            _ => None,
        }
    }

    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(&Envelope { v: FORMAT, message: self }).expect("messages have only string keys")
    }

    pub fn decode(text: &str) -> Result<Self, BadMessage> {
        #[derive(Deserialize)]
        struct Format {
            v: u32,
        }
        let Format { v } = serde_json::from_str(text).map_err(BadMessage::Unreadable)?;
        if v != FORMAT {
            return Err(BadMessage::Format(v));
        }
        Ok(serde_json::from_str::<Envelope<Self>>(text).map_err(BadMessage::Unreadable)?.message)
    }
}

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope<M> {
    v: u32,
    #[serde(flatten)]
    message: M,
}

#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    #[error("message format {0} is not known to this version of Teal, which reads format {FORMAT}")]
    Format(u32),
    #[error("the message can't be read: {0}")]
    Unreadable(serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_and_foreign_ones_are_refused_by_name() {
        let message =
            Message::Page { run: "r".into(), source: SourceId::new("blue"), stream: "talents".into(), slot: 7 };
        assert_eq!(Message::decode(&message.encode()).unwrap(), message);
        let before = r#"{"v":1,"kind":"sync","source":{"name":"blue"},"mode":"full","cause":"schedule"}"#;
        assert_eq!(Message::decode(before).unwrap().trace(), None, "messages of before traces are read");
        let error = Message::decode(r#"{"v":9,"kind":"page"}"#).unwrap_err();
        assert!(error.to_string().contains("format 9"), "{error}");
        assert!(Message::decode(r#"{"v":1,"kind":"dance"}"#).is_err());
    }
}
