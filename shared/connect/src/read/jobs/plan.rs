//! What a manifest says of jobs: the requests of each phase, what the source's words for their states mean, and how
//! their results are read.

use std::sync::Arc;

use jiff::SignedDuration;
use teal::ports::upstream::Response;

use crate::decode::Decoder;
use crate::failure::Failure;
use crate::failure::filter::Action;
use crate::http::Purpose;
use crate::interpolate::Context;
use crate::node::{Compiler, Node};
use crate::paginate::Paginator;
use crate::partition::Router;
use crate::read::record::Record;
use crate::read::selector::{Selector, compile_decoder};
use crate::requester::Requester;
use crate::session::Session;
use crate::source::stream::Stream;

#[derive(Debug)]
pub struct Async {
    pub(super) creation: Arc<Requester>,
    pub(super) polling: Arc<Requester>,
    pub(super) target: Option<Arc<Requester>>,
    pub(super) download: Arc<Requester>,
    pub(super) abort: Option<Arc<Requester>>,
    pub(super) delete: Option<Arc<Requester>>,
    pub(super) status: Selector,
    pub(super) targets: Option<Selector>,
    pub(super) results: Selector,
    pub(super) paginator: Option<Paginator>,
    pub selector: Selector,
    pub router: Router,
    pub(super) statuses: Vec<(String, Status)>,
    pub(super) timeout: SignedDuration,
    pub(super) retry_wait: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Running,
    Completed,
    Failed,
    TimedOut,
    Skipped,
}

impl Async {
    pub fn compile(node: &Node, stream: Option<&Node>, name: &str, cx: &mut Compiler) -> Option<Self> {
        let problems = cx.problems.len();
        let requester = |field: &str, purpose: Purpose, cx: &mut Compiler| {
            let node = node.get(field)?;
            let mut requester = Requester::compile(&node, &format!("job {field} - {name}"), cx)?;
            for action in [Action::ReducePageSize, Action::SplitWindow] {
                if requester.handler.uses(action) {
                    cx.report(&node, "requests of a job can't ask for smaller pages or windows; use another action");
                }
            }
            requester.purpose = purpose;
            Some(Arc::new(requester))
        };
        for field in
            ["creation_requester", "polling_requester", "download_requester", "status_extractor", "status_mapping"]
        {
            node.require(field, cx);
        }
        let decoder = compile_decoder(node.get("decoder"), cx)?;
        let download_decoder = compile_decoder(node.get("download_decoder"), cx)?;
        let plain = |field: &str, decoder: &Decoder, cx: &mut Compiler| {
            let extractor = node.get(field)?;
            Selector::plain(&extractor, decoder.clone(), cx)
        };
        let whole = crate::json!({"type": "DpathExtractor", "field_path": []});
        let results = match node.get("download_extractor") {
            Some(extractor) => Selector::plain(&extractor, download_decoder, cx),
            None => Selector::plain(&Node::new(&whole, &node.at), download_decoder, cx),
        };
        let mut statuses = Vec::new();
        let kinds = [
            ("running", Status::Running),
            ("completed", Status::Completed),
            ("failed", Status::Failed),
            ("timeout", Status::TimedOut),
            ("skipped", Status::Skipped),
        ];
        if let Some(mapping) = node.get("status_mapping") {
            for (kind, status) in kinds {
                for name in mapping.texts(kind, cx) {
                    if statuses.iter().any(|(known, _)| *known == name) {
                        cx.report(&mapping, format_args!("the status '{name}' can mean one thing only"));
                    }
                    statuses.push((name, status));
                }
            }
        }
        let count = |field: &str, cx: &mut Compiler| {
            let at = node.get(field)?;
            let value = cx.evaluate(&at, &node.parameters())?;
            value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
        };
        let router = match node.get("partition_router") {
            Some(router) if crate::python::is_truthy(router.value) => Router::compile(&router, name, cx),
            _ => Some(Router::Single),
        };
        if node.get("download_target_requester").is_some() && node.get("download_target_extractor").is_none() {
            cx.report(node, "'download_target_requester' needs 'download_target_extractor'");
        }
        let selector = node.require("record_selector", cx);
        let selector = selector.and_then(|selector| Selector::compile(&selector, node.get("decoder"), stream, cx));
        let (creation, polling) =
            (requester("creation_requester", Purpose::Job, cx), requester("polling_requester", Purpose::Job, cx));
        let download = requester("download_requester", Purpose::Page, cx);
        let built = Self {
            target: requester("download_target_requester", Purpose::Job, cx),
            abort: requester("abort_requester", Purpose::Job, cx),
            delete: requester("delete_requester", Purpose::Job, cx),
            status: plain("status_extractor", &decoder, cx)?,
            targets: plain("download_target_extractor", &decoder, cx),
            paginator: node.get("download_paginator").and_then(|paginator| Paginator::compile(&paginator, cx)),
            statuses,
            timeout: SignedDuration::from_mins(count("polling_job_timeout", cx).unwrap_or(60)),
            retry_wait: count("failed_retry_wait_time_in_seconds", cx),
            creation: creation?,
            polling: polling?,
            download: download?,
            results: results?,
            selector: selector?,
            router: router?,
        };
        (cx.problems.len() == problems).then_some(built)
    }
}

impl Async {
    pub(super) fn extract(&self, response: &Response, cx: &Context) -> Result<(Vec<Record>, i64), Failure> {
        if response.status >= 400 { Ok((Vec::new(), 0)) } else { self.results.extract(response, cx) }
    }

    pub(super) fn select(
        &self,
        extracted: Vec<Record>,
        stream: &Stream,
        session: &Session,
        cx: &Context,
    ) -> Result<Vec<Record>, Failure> {
        let schema = if self.selector.normalizes() { stream.schema.known(session) } else { None };
        self.selector.select(extracted, schema.as_deref(), cx)
    }
}
