//! The simple retriever: requests, pages, records.

use std::sync::{Arc, OnceLock};

use crate::value::{Map, Value};
use jiff::Timestamp;
use teal::ports::upstream::Response;

use super::record::{Found, Record, Written, records_at};
use crate::datetime::IsoDuration;
use crate::decode::Decoder;
use crate::extract::{Answer, Extractor};
use crate::failure::Failure;
use crate::failure::filter::Action;
use crate::interpolate::{Context, StreamSlice, Template};
use crate::node::{Compiler, Node};
use crate::normalize::Normalizer;
use crate::paginate::Paginator;
use crate::partition::Router;
use crate::properties::QueryProperties;
use crate::requester::Requester;
use crate::session::Session;
use crate::transform::Transformation;

#[derive(Debug)]
pub struct Simple {
    pub requester: Arc<Requester>,
    pub paginator: Option<Paginator>,
    pub selector: Selector,
    pub router: Router,
    pub slices_only_first: bool,
    pub properties: Option<QueryProperties>,
    pub reduction: Option<Reduction>,
    pub splitting: Option<Splitting>,
    pub reset: Option<Reset>,
}

#[derive(Debug)]
pub struct Reduction {
    pub factor: f64,
    pub least: i64,
    pub attempts: u32,
    pub wait: f64,
    pub retries_at_least: u32,
    pub message: Option<String>,
    pub is_restored: bool,
}

#[derive(Debug)]
pub struct Splitting {
    pub message: Option<String>,
    pub least: Option<IsoDuration>,
}

#[derive(Debug)]
pub struct Reset {
    pub splits: bool,
    pub limit: Option<u64>,
}

/// What makes records of an answer.
#[derive(Debug)]
pub struct Selector {
    pub decoder: Decoder,
    extractor: Extractor,
    /// Where the records are, when they can be taken out without making a tree.
    pub straight: Option<Vec<String>>,
    filter: Option<Template>,
    transformations: Vec<Transformation>,
    transforms_first: bool,
    /// Compiled with the stream's schema, when that is known.
    normalizer: Option<OnceLock<Normalizer>>,
}

impl Simple {
    /// `stream` is the component that the retriever belongs to, when it is one.
    pub fn compile(node: &Node, stream: Option<&Node>, name: &str, use_cache: bool, cx: &mut Compiler) -> Option<Self> {
        let problems = cx.problems.len();
        let requester_node = node.require("requester", cx)?;
        let router = match node.get("partition_router") {
            Some(router) if crate::python::is_truthy(router.value) => Router::compile(&router, name, cx),
            _ => Some(Router::Single),
        };
        let requester = Requester::compile(&requester_node, name, cx);
        let selector_node = node.require("record_selector", cx);
        let selector =
            selector_node.as_ref().and_then(|selector| Selector::compile(selector, node.get("decoder"), stream, cx));
        let paginator = node.get("paginator").and_then(|paginator| Paginator::compile(&paginator, cx));
        let properties = properties_of(&requester_node, name, cx);
        let sync = stream.and_then(|stream| stream.get("incremental_sync"));
        let uses = |action: Action| requester.as_ref().is_some_and(|requester| requester.handler.uses(action));
        let (reduces, splits) = (uses(Action::ReducePageSize), uses(Action::SplitWindow));
        let reduction = node.get("page_size_reduction").map(|node| Reduction::compile(&node, cx));
        if reduces && reduction.is_none() {
            cx.report(node, "an error handler asks for smaller pages: add 'page_size_reduction' to the retriever");
        }
        if reduction.is_some() && !paginator.as_ref().is_some_and(Paginator::can_reduce) {
            cx.report(node, "'page_size_reduction' needs OffsetIncrement or CursorPagination, with a page_size_option and no RequestPath");
        }
        if (reduction.is_some() || splits) && properties.is_some() {
            cx.report(node, "pages of query properties can't be asked for in another size or window");
        }
        let splitting = node.get("request_window_splitting").map(|node| Splitting::compile(&node, cx));
        if splits && splitting.is_none() {
            cx.report(node, "an error handler splits windows: add 'request_window_splitting' to the retriever");
        }
        if splitting.is_some() && sync.as_ref().is_none_or(|sync| sync.get("cursor_granularity").is_none()) {
            cx.report(node, "'request_window_splitting' needs a DatetimeBasedCursor with 'cursor_granularity'");
        }
        let reset = node.get("pagination_reset").map(|node| Reset::compile(&node, cx));
        if reset.as_ref().is_some_and(|reset| reset.as_ref().is_some_and(|reset| reset.limit.is_some()))
            && selector_node.as_ref().is_some_and(|selector| selector.get("record_filter").is_some())
        {
            cx.report(node, "limits of 'pagination_reset' can't be counted with a record filter");
        }
        let (mut requester, selector, router) = (requester?, selector?, router?);
        if cx.problems.len() > problems {
            return None;
        }
        requester.raw = matches!(selector.decoder, Decoder::Gzip(_));
        requester.use_cache |= use_cache;
        Some(Self {
            requester: Arc::new(requester),
            paginator,
            selector,
            router,
            slices_only_first: node.flag("ignore_stream_slicer_parameters_on_paginated_requests"),
            properties,
            reduction: reduction.flatten(),
            splitting: splitting.flatten(),
            reset: reset.flatten(),
        })
    }
}

fn properties_of(requester: &Node, stream: &str, cx: &mut Compiler) -> Option<QueryProperties> {
    let parameters = requester.get("request_parameters").map(|node| node.members()).unwrap_or_default();
    let in_parameters: Vec<_> = parameters.iter().filter(|(_, node)| node.kind() == "QueryProperties").collect();
    let endpoint = requester.get("fetch_properties_from_endpoint");
    let own = requester.get("query_properties");
    if in_parameters.len() + usize::from(endpoint.is_some()) + usize::from(own.is_some()) > 1 {
        cx.report(requester, "a requester can ask for query properties in one place only");
    }
    match (in_parameters.first(), endpoint, own) {
        (Some((_, node)), ..) => QueryProperties::compile(node, stream, cx),
        (None, Some(node), _) => QueryProperties::of_endpoint(&node, cx),
        (None, None, Some(node)) => QueryProperties::compile(&node, stream, cx),
        (None, None, None) => None,
    }
}

impl Reduction {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let count = |name: &str, default: i64, cx: &mut Compiler| node.whole(name, cx).unwrap_or(default);
        let factor = node.number("reduction_factor", cx).unwrap_or(2.0);
        if factor <= 1.0 {
            cx.report(node, "'reduction_factor' must be more than 1");
        }
        Some(Self {
            factor,
            least: count("minimum_page_size", 1, cx).max(1),
            attempts: u32::try_from(count("max_attempts", 5, cx)).unwrap_or(5).max(1),
            wait: node.number("backoff_seconds", cx).unwrap_or(0.5).max(0.0),
            retries_at_least: u32::try_from(count("retries_at_minimum_page_size", 0, cx)).unwrap_or(0),
            message: node.text("failure_message", cx).map(str::to_owned),
            is_restored: node.text("reset_policy", cx) == Some("AFTER_SUCCESSFUL_PAGE"),
        })
    }
}

impl Splitting {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let least = match node.text("min_split_window", cx) {
            Some(text) => Some(cx.check(node, IsoDuration::parse(text))?),
            None => None,
        };
        Some(Self { message: node.text("failure_message", cx).map(str::to_owned), least })
    }
}

impl Reset {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let action = node.require("action", cx)?;
        let splits = match action.value.as_str() {
            Some("RESET") => false,
            Some("SPLIT_USING_CURSOR") => true,
            _ => {
                cx.report(&action, "write RESET or SPLIT_USING_CURSOR");
                return None;
            }
        };
        let limit = node.get("limits").and_then(|limits| limits.whole("number_of_records", cx));
        Some(Self { splits, limit: limit.and_then(|limit| u64::try_from(limit).ok()) })
    }
}

impl Selector {
    pub fn compile(node: &Node, decoder: Option<Node>, stream: Option<&Node>, cx: &mut Compiler) -> Option<Self> {
        if node.kind() != "RecordSelector" {
            cx.unknown(node, "record selector");
            return None;
        }
        let decoder = compile_decoder(decoder, cx)?;
        let extractor_node = node.require("extractor", cx)?;
        if extractor_node.kind().starts_with("Custom") {
            cx.unknown(&extractor_node, "extractor");
        }
        let filter_node = node.get("record_filter");
        if let Some(filter) = filter_node.as_ref().filter(|filter| filter.kind() != "RecordFilter") {
            cx.unknown(filter, "record filter");
        }
        let mut transformations = Vec::new();
        for node in stream.map(|stream| stream.list("transformations")).unwrap_or_default() {
            if node.kind().starts_with("Custom") {
                cx.unknown(&node, "transformation");
            } else {
                transformations.extend(cx.check(&node, Transformation::compile(node.value)));
            }
        }
        let normalizes = match node.get("schema_normalization") {
            None => false,
            Some(at) if at.value == "None" => false,
            Some(at) if at.value == "Default" => true,
            Some(at) => {
                cx.unknown(&at, "schema normalization");
                false
            }
        };
        let is_client_side =
            stream.and_then(|s| s.get("incremental_sync")).is_some_and(|s| s.flag("is_client_side_incremental"));
        let transforms_first =
            node.get("transform_before_filtering").and_then(|node| node.value.as_bool()).unwrap_or(is_client_side);
        let retriever =
            extractor_node.get("record_expander").and_then(|expander| expander.get("truncated_list_retriever"));
        if let Some(retriever) = retriever {
            let what = "lists that came cut short can't be fetched whole; leave 'truncated_list_retriever' out";
            cx.problems.push(crate::problem::Problem::new(crate::problem::Kind::Custom, retriever.at, what));
        }
        if extractor_node.kind().starts_with("Custom") {
            return None;
        }
        let straight = straight_path(&extractor_node, &decoder, cx);
        Some(Self {
            extractor: cx.check(&extractor_node, Extractor::compile(extractor_node.value))?,
            straight,
            decoder,
            filter: filter_node.and_then(|filter| filter.template("condition", cx)).filter(|f| !f.text().is_empty()),
            transformations,
            transforms_first,
            normalizer: normalizes.then(OnceLock::new),
        })
    }

    /// For records that need nothing done to them but extraction.
    pub fn plain(extractor: &Node, decoder: Decoder, cx: &mut Compiler) -> Option<Self> {
        Some(Self {
            straight: straight_path(extractor, &decoder, cx),
            extractor: cx.check(extractor, Extractor::compile(extractor.value))?,
            decoder,
            filter: None,
            transformations: Vec::new(),
            transforms_first: false,
            normalizer: None,
        })
    }

    pub fn normalizes(&self) -> bool {
        self.normalizer.is_some()
    }

    /// The records of an answer as the source has them.
    /// With how many the page had: some are left out by the extractor.
    pub fn extract(&self, response: &Response, cx: &Context) -> Result<(Vec<Record>, i64), Failure> {
        if let Some(path) = &self.straight
            && let Ok(Found::Records(records)) = records_at(&response.body, path)
        {
            let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
            return Ok((records, count));
        }
        let mut count = 0;
        let mut records = Vec::new();
        self.each_value(response, cx, |value| {
            count += 1;
            records.extend(value.map(Record::of_value).transpose()?);
            Ok(())
        })?;
        Ok((records, count))
    }

    pub fn extract_values(&self, response: &Response, cx: &Context) -> Result<Vec<Value>, Failure> {
        let mut values = Vec::new();
        self.each_value(response, cx, |value| {
            values.extend(value);
            Ok(())
        })?;
        Ok(values)
    }

    fn each_value(
        &self,
        response: &Response,
        cx: &Context,
        mut each: impl FnMut(Option<Value>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if response.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let headers = crate::http::header_map(response);
        let answer = Answer { decoder: &self.decoder, body: &response.body, headers: &headers };
        self.extractor.extract(answer, cx)?.try_for_each(|value| each(value?))
    }

    /// Filters and changes; `seen` is what templates see, without the record.
    pub fn select(&self, records: Vec<Record>, schema: Option<&Value>, seen: &Context) -> Result<Vec<Record>, Failure> {
        let normalizer = match (&self.normalizer, schema.filter(|schema| crate::python::is_truthy(schema))) {
            (Some(once), Some(schema)) => Some(once.get_or_init(|| Normalizer::compile(schema))),
            _ => None,
        };
        if self.filter.is_none() && self.transformations.is_empty() && normalizer.is_none() {
            return Ok(records);
        }
        let mut out = Written::default();
        for record in records {
            let mut value = Value::Object(record.into_map()?);
            if self.transforms_first {
                self.transform(&mut value, seen)?;
            }
            if let Some(filter) = &self.filter
                && !filter.render_bool(&seen.clone().with("record", &value))?
            {
                continue;
            }
            if !self.transforms_first {
                self.transform(&mut value, seen)?;
            }
            if let Some(normalizer) = normalizer {
                normalizer.apply(&mut value);
            }
            out.push(&value)?;
        }
        Ok(out.records())
    }

    fn transform(&self, value: &mut Value, seen: &Context) -> Result<(), Failure> {
        for transformation in &self.transformations {
            transformation.apply(value, seen)?;
        }
        Ok(())
    }
}

pub fn compile_decoder(node: Option<Node>, cx: &mut Compiler) -> Option<Decoder> {
    match node {
        None => Some(Decoder::Json),
        Some(node) if node.kind().starts_with("Custom") => {
            cx.unknown(&node, "decoder");
            None
        }
        Some(node) => cx.check(&node, Decoder::compile(Some(node.value))),
    }
}

fn straight_path(extractor: &Node, decoder: &Decoder, cx: &mut Compiler) -> Option<Vec<String>> {
    if *decoder != Decoder::Json || extractor.kind() != "DpathExtractor" || extractor.get("record_expander").is_some() {
        return None;
    }
    let parameters = extractor.parameters();
    let mut path = Vec::new();
    for step in extractor.list("field_path") {
        let step = cx.evaluate_text(&step, &parameters)?;
        if step.contains(['*', '?', '[', '/']) || step.parse::<i64>().is_ok() {
            return None;
        }
        path.push(step);
    }
    Some(path)
}

/// What record filters and transformations see.
pub fn seen<'a>(session: &'a Session, slice: &'a StreamSlice, token: &'a Value, now: Timestamp) -> Context<'a> {
    session.scope(now, Some(slice), token)
}

/// A page size that was asked for, made smaller; an error says why it can't be.
pub fn reduce(
    reduction: &Reduction,
    sizes: &mut super::position::Sizes,
    configured: Option<i64>,
    why: Option<&str>,
) -> Result<f64, Failure> {
    let Some(size) = sizes.current.or(configured) else {
        return Err(Failure::config("pages can't be made smaller: the pagination strategy has no 'page_size'"));
    };
    let end = |what: String| {
        let said = reduction.message.as_deref().map_or(String::new(), |message| format!(" {message}"));
        let why = why.map_or(String::new(), |why| format!(" The source says: {why}."));
        Failure::transient(format!("the source rejects pages {what}.{why}{said}"))
    };
    let smaller = reduction.least.max((size as f64 / reduction.factor).floor() as i64);
    if smaller >= size {
        if sizes.at_least >= reduction.retries_at_least {
            return Err(end(format!("of {size} records, the smallest that may be asked for")));
        }
        sizes.at_least += 1;
        return Ok(reduction.wait * f64::from(sizes.at_least));
    }
    sizes.attempts += 1;
    if sizes.attempts > reduction.attempts {
        return Err(end(format!("of every size down to {size} records")));
    }
    sizes.current = Some(smaller);
    Ok(reduction.wait * f64::from(sizes.attempts))
}

/// A member of an answer by its name in a map.
pub fn member(name: &str, value: Value) -> Map {
    Map::from_iter([(name.to_owned(), value)])
}
