//! One stream, compiled.

use crate::value::{Map, Value};

use crate::cursor::migration::LegacyToPerPartition;
use crate::cursor::{Cursor, point};
use crate::datetime::IsoDuration;
use crate::node::{Compiler, Node};
use crate::paginate::Paginator;
use crate::partition::Router;
use crate::read::jobs::Async;
use crate::read::simple::Simple;
use crate::schema::Schema;

/// The state of a stream without a cursor.
pub const NO_CURSOR: &str = "__ab_no_cursor_state_message";

#[derive(Debug)]
pub struct Stream {
    pub name: String,
    pub primary_key: Vec<String>,
    pub schema: Schema,
    pub retriever: Retriever,
    pub cursor: Option<Cursor>,
    migrations: Vec<LegacyToPerPartition>,
    /// Its state is older than what the source still has: it was thrown away.
    pub discards_state: bool,
}

#[derive(Debug)]
pub enum Retriever {
    Simple(Box<Simple>),
    Async(Box<Async>),
}

impl Stream {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let state = cx.states.get(&name_of(node)).cloned().unwrap_or(Value::Null);
        Self::compile_with_state(node, &state, cx)
    }

    pub fn compile_with_state(node: &Node, state: &Value, cx: &mut Compiler) -> Option<Self> {
        if node.kind() == "StateDelegatingStream" {
            return Self::delegate(node, state, cx);
        }
        if node.kind() != "DeclarativeStream" {
            cx.unknown(node, "stream");
            return None;
        }
        let name = name_of(node);
        let retriever = node.require("retriever", cx)?;
        let cursor = match node.get("incremental_sync") {
            Some(sync) => Cursor::compile(&sync, &name, cx).map(Some),
            None => Some(None),
        };
        let retriever = Retriever::compile(&retriever, Some(node), &name, false, cx);
        let mut migrations = Vec::new();
        for migration in node.list("state_migrations") {
            match migration.kind() {
                "LegacyToPerPartitionStateMigration" => {
                    migrations.extend(LegacyToPerPartition::compile(&migration, node, cx));
                }
                _ => cx.unknown(&migration, "state migration"),
            }
        }
        if let Some(uploader) = node.get("file_uploader") {
            cx.report(&uploader, "Teal copies no files, only records; leave 'file_uploader' out");
        }
        let primary_key = primary_key(node, cx);
        let schema = Schema::compile(node, &name, cx);
        let (cursor, retriever) = (cursor?, retriever?);
        if cursor.as_ref().is_some_and(Cursor::is_count) && !retriever.router().is_single() {
            cx.report(node, "an IncrementingCountCursor can't be used together with a partition router");
        }
        if retriever.router().is_lazy()
            && cursor.as_ref().is_some_and(|cursor| cursor.has_step() || cursor.has_granularity())
        {
            cx.report(node, "a stream whose parent brings its first answers can't have a 'step'");
        }
        Some(Self { name, primary_key, schema: schema?, retriever, cursor, migrations, discards_state: false })
    }

    /// One of two streams of the same name: for the first sync, and for those after it.
    fn delegate(node: &Node, state: &Value, cx: &mut Compiler) -> Option<Self> {
        let (full, incremental) = (node.require("full_refresh_stream", cx)?, node.require("incremental_stream", cx)?);
        let name = name_of(node);
        if name_of(&full) != name || name_of(&incremental) != name {
            cx.report(node, "a StateDelegatingStream and both of its streams must have the same name");
        }
        if !crate::python::is_truthy(state) {
            return Self::compile_with_state(&full, state, cx);
        }
        let stream = Self::compile_with_state(&incremental, state, cx)?;
        let Some(period) = node.get("api_retention_period") else { return Some(stream) };
        let period = cx.evaluate_text(&period, &node.parameters())?;
        if period.is_empty() {
            return Some(stream);
        }
        let period = cx.check(node, IsoDuration::parse(&period))?;
        let mut full = Self::compile_with_state(&full, &Value::Null, cx)?;
        let cutoff = point::before(cx.now, &period);
        let cutoff = cx.check(node, cutoff)?;
        let at = full.instant_of_state(state, cx.now).or_else(|| stream.instant_of_state(state, cx.now));
        if at.is_some_and(|at| at >= cutoff) {
            return Some(stream);
        }
        full.discards_state = true;
        Some(full)
    }

    fn instant_of_state(&self, state: &Value, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
        if state.get(NO_CURSOR).is_some_and(crate::python::is_truthy) {
            return Some(now);
        }
        let own = if self.retriever.router().is_single() { state } else { state.get("state")? };
        self.cursor.as_ref()?.instant_of_state(own)
    }

    /// A listing that is no stream of its own.
    pub fn of_retriever(node: &Node, name: &str, use_cache: bool, cx: &mut Compiler) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            primary_key: Vec::new(),
            schema: Schema::empty(),
            retriever: Retriever::compile(node, None, name, use_cache, cx)?,
            cursor: None,
            migrations: Vec::new(),
            discards_state: false,
        })
    }

    pub fn router(&self) -> &Router {
        self.retriever.router()
    }

    /// Whether a request of it, or of a parent, has to wait for another whose answer is a secret, or for a moment.
    pub fn asks_for_tokens(&self) -> bool {
        let own = match &self.retriever {
            Retriever::Simple(plan) => plan.requester.auth.asks(),
            Retriever::Async(_) => true,
        };
        own || self.router().parents().iter().any(|parent| parent.asks_for_tokens())
    }

    /// Whether a parent's list goes on as the headers of its answers say.
    pub fn has_parents_by_headers(&self) -> bool {
        self.router().parents().iter().any(|parent| {
            let by_headers = match &parent.retriever {
                Retriever::Simple(plan) => plan.paginator.as_ref().is_some_and(Paginator::needs_headers),
                Retriever::Async(_) => true,
            };
            by_headers || parent.has_parents_by_headers()
        })
    }

    pub fn needs_schema(&self) -> bool {
        self.schema.is_asked_for() && self.retriever.normalizes()
    }

    pub fn migrate(&self, state: Value) -> Value {
        self.migrations.iter().fold(state, |state, migration| migration.apply(state))
    }
}

impl Retriever {
    fn compile(node: &Node, stream: Option<&Node>, name: &str, use_cache: bool, cx: &mut Compiler) -> Option<Self> {
        match node.kind() {
            "SimpleRetriever" => Simple::compile(node, stream, name, use_cache, cx).map(Box::new).map(Self::Simple),
            "AsyncRetriever" => Async::compile(node, stream, name, cx).map(Box::new).map(Self::Async),
            _ => {
                cx.unknown(node, "retriever");
                None
            }
        }
    }

    fn router(&self) -> &Router {
        match self {
            Self::Simple(plan) => &plan.router,
            Self::Async(plan) => &plan.router,
        }
    }

    fn normalizes(&self) -> bool {
        match self {
            Self::Simple(plan) => plan.selector.normalizes(),
            Self::Async(plan) => plan.selector.normalizes(),
        }
    }
}

pub fn name_of(node: &Node) -> String {
    node.value.get("name").map(crate::python::text_of).unwrap_or_default()
}

fn primary_key(node: &Node, cx: &mut Compiler) -> Vec<String> {
    let Some(key) = node.get("primary_key") else { return Vec::new() };
    let mut out = Vec::new();
    for item in key.items() {
        match item.value {
            Value::String(text) if text.is_empty() && !key.value.is_array() => {}
            Value::String(text) => out.push(text.clone()),
            Value::Array(path) if path.len() == 1 && path[0].is_string() => out.push(crate::python::text_of(&path[0])),
            _ => cx.report(&item, "nested primary keys are not supported; name fields of the record"),
        }
    }
    out
}

/// Lets requests of streams that others are read by be answered once.
pub fn share_parents(streams: &mut [Value]) {
    let mut names = Vec::new();
    for stream in streams.iter_mut() {
        mark_parents(stream, &mut names);
    }
    for stream in streams.iter_mut() {
        if stream.get("name").and_then(Value::as_str).is_some_and(|name| names.iter().any(|known| known == name)) {
            mark(stream);
        }
    }
}

fn mark_parents(value: &mut Value, names: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for config in members.get_mut("parent_stream_configs").and_then(Value::as_array_mut).into_iter().flatten() {
                let Some(stream) = config.get_mut("stream") else { continue };
                names.extend(stream.get("name").and_then(Value::as_str).map(str::to_owned));
                mark(stream);
            }
            members.values_mut().for_each(|value| mark_parents(value, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| mark_parents(value, names)),
        _ => {}
    }
}

fn mark(stream: &mut Value) {
    for name in ["full_refresh_stream", "incremental_stream"] {
        if let Some(stream) = stream.get_mut(name) {
            mark(stream);
        }
    }
    let requester = stream.get_mut("retriever").and_then(|retriever| retriever.get_mut("requester"));
    if let Some(requester) = requester.and_then(Value::as_object_mut)
        && requester.get("use_cache") != Some(&Value::Bool(false))
    {
        requester.insert("use_cache".to_owned(), true.into());
    }
}

/// The stream as the catalog lists it.
pub fn describe(stream: &Stream, schema: &Value) -> Value {
    let mut out = Map::new();
    let members = schema.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let schema: Map = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    out.insert("name".to_owned(), stream.name.as_str().into());
    out.insert("json_schema".to_owned(), schema.into());
    let mut modes = vec![Value::from("full_refresh")];
    if let Some(cursor) = &stream.cursor {
        modes.push("incremental".into());
        out.insert("source_defined_cursor".to_owned(), (!cursor.is_catalog_defined).into());
        out.insert("default_cursor_field".to_owned(), vec![cursor.field.clone()].into());
    }
    out.insert("supported_sync_modes".to_owned(), modes.into());
    if !stream.primary_key.is_empty() {
        let keys = stream.primary_key.iter().map(|key| Value::from(vec![key.clone()])).collect();
        out.insert("source_defined_primary_key".to_owned(), keys);
    }
    out.insert("is_resumable".to_owned(), stream.cursor.is_some().into());
    out.insert("is_file_based".to_owned(), false.into());
    out.into()
}
