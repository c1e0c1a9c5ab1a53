//! The simple retriever: requests, pages, records.

use std::sync::Arc;

use crate::value::{Map, Value};

use super::selector::Selector;
use crate::datetime::IsoDuration;
use crate::decode::Decoder;
use crate::failure::Failure;
use crate::failure::filter::Action;
use crate::node::{Compiler, Node};
use crate::paginate::Paginator;
use crate::partition::Router;
use crate::properties::QueryProperties;
use crate::requester::Requester;

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
