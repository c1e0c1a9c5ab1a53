//! What the readers of one source share while they run: the configuration as it is now, tokens, answers that
//! are kept, rates, and what is to be said.
//!
//! Owns no position: with an empty session a reader goes on where it was, after asking for its tokens again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::value::Value;
use jiff::Timestamp;
use teal::ports::upstream::Response;

use crate::auth::many::Quotas;
use crate::budget::Budget;
use crate::http::Ask;
use crate::interpolate::{Context, StreamSlice};

/// How many bytes of answers are kept for other readers of the same listing.
const MOST_KEPT: usize = 64 * 1024 * 1024;

pub type Entropy = Arc<dyn Fn() -> u128 + Send + Sync>;

pub struct Session {
    pub config: Arc<Value>,
    pub tokens: BTreeMap<String, Token>,
    /// Tokens that somebody is fetching.
    pub fetching: BTreeSet<String>,
    pub quotas: BTreeMap<String, Quotas>,
    pub budget: Budget,
    pub notices: Vec<Notice>,
    /// Properties and schemas that were asked for once.
    pub facts: BTreeMap<String, Value>,
    /// Jobs that run at the source.
    pub jobs: usize,
    pub most_jobs: usize,
    pub entropy: Entropy,
    /// What pages were made of, where somebody wants to see it.
    pub shown: Option<std::cell::RefCell<Vec<Shown>>>,
    /// The last answer that nobody was asked for, because it was kept.
    pub served: Option<(Box<Ask>, Response)>,
    /// Streams whose records were not where they are looked for.
    missed: BTreeSet<String>,
    kept: BTreeMap<String, Response>,
    kept_bytes: usize,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub value: String,
    pub expires: Option<Timestamp>,
}

/// A page on its way, a few records of each stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub extracted: i64,
    pub kept: usize,
    pub before: Vec<Value>,
    pub after: Vec<Value>,
    /// Where no records were found, though they are looked for there.
    pub missed: Option<String>,
}

/// Something that whoever drives the readers passes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    Log {
        level: Level,
        text: String,
    },
    /// The source counts our requests and made us wait.
    RateLimited {
        stream: String,
    },
    /// A token in the configuration was replaced: the configuration must be kept.
    Config(Value),
    /// An older state was thrown away.
    State {
        stream: String,
        state: Value,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}

impl Session {
    pub fn new(config: Arc<Value>, budget: Budget, most_jobs: usize, entropy: Entropy) -> Self {
        Self {
            config,
            budget,
            most_jobs,
            entropy,
            tokens: BTreeMap::new(),
            fetching: BTreeSet::new(),
            quotas: BTreeMap::new(),
            notices: Vec::new(),
            facts: BTreeMap::new(),
            jobs: 0,
            shown: None,
            served: None,
            missed: BTreeSet::new(),
            kept: BTreeMap::new(),
            kept_bytes: 0,
        }
    }

    pub fn log(&mut self, level: Level, text: impl Into<String>) {
        self.notices.push(Notice::Log { level, text: text.into() });
    }

    /// Said once a stream: an API may leave a list out that would be empty.
    pub fn missed(&mut self, stream: &str, what: &str) {
        if self.missed.insert(stream.to_owned()) {
            self.log(
                Level::Warn,
                format!("stream '{stream}': {what}; if there should be records, see `teal connector preview`"),
            );
        }
    }

    pub fn random(&self) -> f64 {
        ((self.entropy)() >> 75) as f64 / (1u64 << 53) as f64
    }

    /// What templates of a request see.
    pub fn scope<'a>(&'a self, now: Timestamp, slice: Option<&'a StreamSlice>, token: &'a Value) -> Context<'a> {
        let mut cx = Context::new(now).with_entropy(self.entropy.as_ref());
        cx = cx.with("config", self.config.as_ref()).with("next_page_token", token);
        match slice {
            None => cx.with("stream_slice", &Value::Null),
            Some(slice) => {
                cx = cx.with("stream_slice", slice);
                for (name, value) in slice.extra_fields().as_object().into_iter().flatten() {
                    cx = cx.with(name, value);
                }
                cx
            }
        }
    }

    pub fn kept(&self, ask: &Ask) -> Option<Response> {
        self.kept.get(&cache_key(ask)?).cloned()
    }

    pub fn keep(&mut self, ask: &Ask, response: &Response) {
        let size = response.body.len();
        if response.status == 200
            && self.kept_bytes + size <= MOST_KEPT
            && let Some(key) = cache_key(ask)
            && self.kept.insert(key, response.clone()).is_none()
        {
            self.kept_bytes += size;
        }
    }
}

/// Requests with the same key have the same answer.
fn cache_key(ask: &Ask) -> Option<String> {
    if !ask.cache || ask.request.method != http::Method::GET {
        return None;
    }
    let mut key = ask.request.url.clone();
    for (name, value) in &ask.request.headers {
        use teal::ports::upstream::HeaderValue::{Plain, Secret};
        let value = match value {
            Plain(text) => text.as_str(),
            Secret(secret) => secret.expose(),
        };
        key.extend(["\n", name, ": ", value]);
    }
    key.push('\n');
    key.push_str(&String::from_utf8_lossy(&ask.request.body));
    Some(key)
}
