//! How many requests of what kind may be sent in which time: `api_budget`.
//!
//! Always holds: a request that the budget lets through is counted at once, so that no two readers share one
//! permit.

use std::collections::VecDeque;
use std::time::Duration;

use crate::value::Value;
use jiff::{SignedDuration, Timestamp};
use teal::ports::upstream::{HeaderValue, Request, Response};

use crate::datetime::IsoDuration;
use crate::interpolate::Template;
use crate::node::{Compiler, Node};

#[derive(Clone, Debug, Default)]
pub struct Budget {
    policies: Vec<Policy>,
    reset_header: String,
    remaining_header: String,
    hit_codes: Vec<i64>,
}

#[derive(Clone, Debug)]
struct Policy {
    matchers: Vec<Matcher>,
    rates: Rates,
}

#[derive(Clone, Debug)]
enum Rates {
    Unlimited,
    Fixed { limit: u64, period: SignedDuration, used: u64, reset: Option<Timestamp> },
    Moving { rates: Vec<(u64, SignedDuration)>, sent: VecDeque<(Timestamp, u64)> },
}

/// Which requests are meant.
#[derive(Clone, Debug)]
pub struct Matcher {
    method: Option<String>,
    url_base: Option<String>,
    path: Option<fancy_regex::Regex>,
    params: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    weight: u64,
}

impl Budget {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let mut policies = Vec::new();
        for node in node.list("policies") {
            policies.extend(Policy::compile(&node, cx));
        }
        let codes: Vec<i64> =
            node.list("status_codes_for_ratelimit_hit").iter().filter_map(|c| c.value.as_i64()).collect();
        Some(Self {
            policies,
            reset_header: node.text("ratelimit_reset_header", cx).unwrap_or("ratelimit-reset").to_lowercase(),
            remaining_header: node
                .text("ratelimit_remaining_header", cx)
                .unwrap_or("ratelimit-remaining")
                .to_lowercase(),
            hit_codes: if codes.is_empty() { vec![429] } else { codes },
        })
    }

    fn policy(&mut self, request: &Request) -> Option<&mut Policy> {
        self.policies.iter_mut().find(|policy| policy.weight(request).is_some())
    }

    /// Counts the request, or says how long it has to wait.
    pub fn acquire(&mut self, request: &Request, now: Timestamp) -> Option<Duration> {
        let policy = self.policy(request)?;
        let weight = policy.weight(request)?;
        policy.rates.acquire(weight, now)
    }

    /// Takes the source's own word on what is left.
    pub fn observe(&mut self, request: &Request, response: &Response, now: Timestamp) {
        let seconds = |name: &str| response.header(name).and_then(|text| text.trim().parse::<i64>().ok());
        let reset = seconds(&self.reset_header).and_then(|at| Timestamp::from_second(at).ok());
        let is_hit = self.hit_codes.contains(&i64::from(response.status));
        let remaining = seconds(&self.remaining_header).or(is_hit.then_some(0));
        if let Some(policy) = self.policy(request) {
            policy.rates.observe(remaining, reset, now);
        }
    }
}

impl Policy {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let matchers = node.list("matchers").iter().filter_map(|node| Matcher::compile(node, cx)).collect();
        let rates = match node.kind() {
            "UnlimitedCallRatePolicy" => Rates::Unlimited,
            "FixedWindowCallRatePolicy" => {
                node.require("call_limit", cx)?;
                Rates::Fixed {
                    limit: node.whole("call_limit", cx)?.try_into().unwrap_or(0),
                    period: period(&node.require("period", cx)?, cx)?,
                    used: 0,
                    reset: None,
                }
            }
            "MovingWindowCallRatePolicy" => {
                let mut rates = Vec::new();
                for rate in node.list("rates") {
                    let limit = rate.require("limit", cx)?;
                    let value = cx.evaluate(&limit, &rate.parameters())?;
                    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
                    let Some(number) = number else {
                        cx.report_config(&limit, "a rate's limit must be a whole number");
                        return None;
                    };
                    rates.push((number, period(&rate.require("interval", cx)?, cx)?));
                }
                if rates.is_empty() {
                    cx.report(node, "MovingWindowCallRatePolicy needs at least one of 'rates'");
                }
                Rates::Moving { rates, sent: VecDeque::new() }
            }
            _ => {
                cx.unknown(node, "rate policy");
                return None;
            }
        };
        Some(Self { matchers, rates })
    }

    /// What a request weighs; `None` when it is not meant.
    fn weight(&self, request: &Request) -> Option<u64> {
        if self.matchers.is_empty() {
            return Some(1);
        }
        self.matchers.iter().find(|matcher| matcher.matches(request)).map(|matcher| matcher.weight)
    }
}

impl Rates {
    fn acquire(&mut self, weight: u64, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Unlimited => None,
            Self::Fixed { limit, period, used, reset } => {
                let until = *reset.get_or_insert(now + *period);
                if now >= until {
                    *reset = Some(now + *period);
                    *used = 0;
                } else if *used + weight > (*limit).max(weight) {
                    return Some(wait(until, now));
                }
                *used += weight;
                None
            }
            Self::Moving { rates, sent } => {
                let longest = rates.iter().map(|(_, interval)| *interval).max().unwrap_or_default();
                while sent.front().is_some_and(|(at, _)| *at + longest <= now) {
                    sent.pop_front();
                }
                for (limit, interval) in rates.iter() {
                    let mut within: u64 = sent.iter().filter(|(at, _)| *at + *interval > now).map(|(_, w)| w).sum();
                    if within + weight > (*limit).max(weight) {
                        // Until enough of them are too old to count.
                        for (at, old) in sent.iter().filter(|(at, _)| *at + *interval > now) {
                            within -= old;
                            if within + weight <= (*limit).max(weight) {
                                return Some(wait(*at + *interval, now));
                            }
                        }
                    }
                }
                sent.push_back((now, weight));
                None
            }
        }
    }

    fn observe(&mut self, remaining: Option<i64>, at: Option<Timestamp>, now: Timestamp) {
        match self {
            Self::Unlimited => {}
            Self::Fixed { limit, used, reset, .. } => {
                if let Some(remaining) = remaining.and_then(|left| u64::try_from(left).ok()) {
                    *used = (*used).max(limit.saturating_sub(remaining));
                }
                if let Some(at) = at {
                    *reset = Some(at);
                }
            }
            Self::Moving { rates, sent } => {
                if remaining == Some(0) && at.is_none() {
                    let left = rates.iter().map(|(limit, interval)| {
                        let within: u64 = sent.iter().filter(|(at, _)| *at + *interval > now).map(|(_, w)| w).sum();
                        limit.saturating_sub(within)
                    });
                    if let Some(left) = left.min().filter(|left| *left > 0) {
                        sent.push_back((now, left));
                    }
                }
            }
        }
    }
}

fn wait(until: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default().max(Duration::from_millis(1))
}

fn period(node: &Node, cx: &mut Compiler) -> Option<SignedDuration> {
    let duration = cx.check(node, IsoDuration::parse(node.value.as_str().unwrap_or_default()))?;
    if !duration.is_fixed() || duration.microseconds <= 0 {
        cx.report(node, "a rate's time must be a fixed one, such as PT1M");
        return None;
    }
    Some(SignedDuration::from_micros(duration.microseconds))
}

impl Matcher {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let path = match node.text("url_path_pattern", cx) {
            Some(pattern) => Some(cx.check(node, fancy_regex::Regex::new(pattern))?),
            None => None,
        };
        let weight = match node.get("weight") {
            Some(at) => {
                let value = cx.evaluate(&at, &node.parameters())?;
                let weight = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
                if weight.is_none_or(|weight| weight < 1) {
                    cx.report_config(&at, "a weight must be a whole number, 1 or more");
                }
                weight.unwrap_or(1)
            }
            None => 1,
        };
        let url_base = node.template("url_base", cx);
        let url_base = url_base.and_then(|template: Template| {
            let base = template.render_text(&cx.context());
            base.map_err(|error| cx.report_config(node, error)).ok()
        });
        let pairs = |name: &str| {
            let members = node.get(name).map(|node| node.members()).unwrap_or_default();
            members.into_iter().map(|(name, node)| (name.to_owned(), crate::python::text_of(node.value))).collect()
        };
        Some(Self {
            method: node.text("method", cx).map(str::to_uppercase),
            url_base: url_base.map(|base| base.trim_end_matches('/').to_owned()),
            path,
            params: pairs("params"),
            headers: pairs("headers"),
            weight,
        })
    }

    pub fn matches(&self, request: &Request) -> bool {
        let Ok(url) = ::url::Url::parse(&request.url) else { return false };
        let base = url.origin().ascii_serialization();
        self.method.as_ref().is_none_or(|method| request.method.as_str() == method)
            && self.url_base.as_ref().is_none_or(|known| *known == base)
            && self.path.as_ref().is_none_or(|path| path.is_match(url.path().trim_end_matches('/')).unwrap_or(false))
            && self.params.iter().all(|(name, value)| url.query_pairs().any(|(k, v)| k == *name && v == *value))
            && self.headers.iter().all(|(name, value)| {
                request.headers.iter().any(|(known, there)| {
                    let there = match there {
                        HeaderValue::Plain(text) => text.as_str(),
                        HeaderValue::Secret(secret) => secret.expose(),
                    };
                    known.eq_ignore_ascii_case(name) && there == value
                })
            })
    }
}

/// How many jobs may run at the source at once.
pub fn most_jobs(root: &Value, cx: &mut Compiler) -> usize {
    let node = Node::root(root);
    let Some(at) = node.get("max_concurrent_async_job_count") else { return 1 };
    let value = cx.evaluate(&at, &node.parameters());
    let number = value.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    number.map_or(1, |number| usize::try_from(number).unwrap_or(1).max(1))
}
