//! Several tokens, each with its own quota at the source: the next request takes one that has some left.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::value::Value;
use jiff::Timestamp;
use teal::domain::Secret;
use teal::ports::upstream::{HeaderValue, Response};

use super::identity;
use crate::budget::Matcher;
use crate::cursor::point;
use crate::datetime::IsoDuration;
use crate::failure::Failure;
use crate::http::{self, Ask, Parts, Purpose};
use crate::interpolate::{Template, TemplatedMap};
use crate::node::{Compiler, Node};
use crate::session::Session;

/// The shortest wait for a reset, and the longest delay that spreads the rest of a quota.
const LEAST_WAIT: f64 = 5.0;
const MOST_DELAY: f64 = 10.0;

#[derive(Debug)]
pub struct ManyTokens {
    pub id: String,
    tokens: Vec<String>,
    pub header: String,
    method: String,
    status_url: Template,
    status_method: ::http::Method,
    status_headers: TemplatedMap,
    unavailable: Vec<i64>,
    quotas: Vec<Quota>,
    most_wait: f64,
    reserve: f64,
    least_reserve: f64,
}

#[derive(Debug)]
struct Quota {
    name: String,
    remaining: Vec<String>,
    reset: Vec<String>,
    limit: Option<Vec<String>>,
    matchers: Vec<Matcher>,
    remaining_header: Option<String>,
    reset_header: Option<String>,
    limit_header: Option<String>,
    exhausted: Vec<i64>,
}

/// What the source said of every token, and which one is next.
#[derive(Debug, Default)]
pub struct Quotas {
    left: Vec<BTreeMap<String, Left>>,
    active: usize,
}

#[derive(Clone, Debug)]
struct Left {
    remaining: i64,
    limit: i64,
    reset: Timestamp,
    is_tracked: bool,
}

impl ManyTokens {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let parameters = node.parameters();
        let given = node.require("tokens", cx)?;
        let mut tokens = Vec::new();
        for item in given.items() {
            let text = cx.evaluate_text(&item, &parameters)?;
            let delimiter = node.text("token_delimiter", cx).filter(|text| !text.is_empty()).unwrap_or(",");
            match given.value {
                Value::String(_) => tokens.extend(text.split(delimiter).map(|token| token.trim().to_owned())),
                _ => tokens.push(text.trim().to_owned()),
            }
        }
        tokens.retain(|token| !token.is_empty());
        if tokens.is_empty() {
            cx.report_config(&given, "the configuration gives no token; give at least one");
        }
        let status = node.require("quota_status_source", cx)?;
        let empty = crate::value::Map::new();
        let headers = status.get("request_headers");
        let headers = headers.as_ref().and_then(Node::object).unwrap_or(&empty);
        let mut quotas = Vec::new();
        for quota in node.list("quotas") {
            quotas.push(Quota::compile(&quota, cx)?);
        }
        if quotas.is_empty() {
            cx.report(node, "RateLimitedMultipleTokenAuthenticator needs at least one of 'quotas'");
            return None;
        }
        let most_wait = match node.get("max_wait_time") {
            Some(at) => cx.evaluate_text(&at, &parameters)?,
            None => "PT2H".to_owned(),
        };
        Some(Self {
            id: identity(node, cx),
            tokens,
            header: node.text("header", cx).unwrap_or("Authorization").to_owned(),
            method: node.text("auth_method", cx).unwrap_or("Bearer").to_owned(),
            status_url: status.require_template("url", cx)?,
            status_method: match status.text("http_method", cx) {
                Some("POST") => ::http::Method::POST,
                _ => ::http::Method::GET,
            },
            status_headers: cx.check(&status, TemplatedMap::compile(headers, &parameters))?,
            unavailable: status
                .list("unavailable_status_codes")
                .iter()
                .filter_map(|code| code.value.as_i64())
                .collect(),
            quotas,
            most_wait: cx.check(node, IsoDuration::parse(&most_wait))?.microseconds as f64 / 1e6,
            reserve: node.number("budget_reserve_fraction", cx).unwrap_or(0.1),
            least_reserve: node.number("budget_min_reserve", cx).unwrap_or(50.0),
        })
    }

    pub fn count(&self, _: &Session) -> usize {
        self.tokens.len()
    }

    pub fn needs_quotas(&self, session: &Session) -> bool {
        session.quotas.get(&self.id).is_none_or(|quotas| quotas.left.len() < self.tokens.len())
    }

    fn authorization(&self, token: &str) -> String {
        format!("{} {token}", self.method).trim().to_owned()
    }

    /// The request for the quotas of one token.
    pub fn ask(&self, session: &Session, now: Timestamp, index: usize) -> Result<Ask, Failure> {
        let cx = session.scope(now, None, &Value::Null);
        let mut parts = Parts::default();
        parts.headers.extend(self.status_headers.render(&cx)?);
        let mut request = http::request(&self.status_method, &self.status_url.render_text(&cx)?, parts, None, None)?;
        let secret = Secret::new(self.authorization(&self.tokens[index]));
        request.headers.push((self.header.clone(), HeaderValue::Secret(secret)));
        Ok(Ask { request, cache: false, raw: false, purpose: Purpose::Token })
    }

    pub fn accept(
        &self,
        response: &Response,
        session: &mut Session,
        index: usize,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let untracked = self.unavailable.contains(&i64::from(response.status));
        if response.status >= 400 && !untracked {
            return Err(Failure::system(format!("asking for quotas was answered with status {}", response.status)));
        }
        let body: Value = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        let mut left = BTreeMap::new();
        for quota in &self.quotas {
            let at = |path: &[String]| {
                crate::lookup::get(&body, path).ok_or_else(|| {
                    Failure::system(format!("the quotas of the source have nothing at '{}'", path.join(".")))
                })
            };
            let state = if untracked {
                Left { remaining: 0, limit: 0, reset: now, is_tracked: false }
            } else {
                let remaining = whole(at(&quota.remaining)?);
                Left {
                    remaining,
                    limit: quota.limit.as_ref().map_or(Ok(remaining), |path| at(path).map(whole))?,
                    reset: point::lenient(&crate::python::text_of(at(&quota.reset)?)).unwrap_or(now),
                    is_tracked: true,
                }
            };
            left.insert(quota.name.clone(), state);
        }
        let quotas = session.quotas.entry(self.id.clone()).or_default();
        if index == 0 {
            quotas.left.clear();
        }
        quotas.left.push(left);
        Ok(())
    }

    fn quota_of(&self, url: Option<&http::Ask>) -> &Quota {
        let matching = url.and_then(|ask| {
            self.quotas.iter().find(|quota| quota.matchers.iter().any(|matcher| matcher.matches(&ask.request)))
        });
        matching.or_else(|| self.quotas.iter().find(|quota| quota.matchers.is_empty())).unwrap_or(&self.quotas[0])
    }

    /// Makes the active token one with quota left, or says how long to wait until one has.
    pub fn wait(&self, session: &mut Session, now: Timestamp) -> Result<Option<Duration>, Failure> {
        let quota = self.quota_of(None);
        let Some(quotas) = session.quotas.get_mut(&self.id) else { return Ok(None) };
        let count = quotas.left.len();
        let usable = (0..count).map(|step| (quotas.active + step) % count).find(|index| {
            quotas.left[*index].get(&quota.name).is_none_or(|left| !left.is_tracked || left.remaining > 0)
        });
        if let Some(index) = usable {
            quotas.active = index;
            let delay = self.delay(quotas, quota, now);
            if let Some(left) = quotas.left[index].get_mut(&quota.name) {
                if left.is_tracked {
                    left.remaining -= 1;
                } else {
                    quotas.active = (index + 1) % count;
                }
            }
            return Ok(delay.filter(|delay| *delay >= 0.1).map(Duration::from_secs_f64));
        }
        let until = quotas.left.iter().filter_map(|left| left.get(&quota.name)).map(|left| left.reset).min();
        let seconds = until.map_or(0.0, |until| until.duration_since(now).as_secs_f64());
        if seconds >= self.most_wait {
            return Err(Failure::transient("the quota of every token is used up, and the next reset is too far away"));
        }
        // They are asked for again after the wait.
        quotas.left.clear();
        Ok(Some(Duration::from_secs_f64(seconds.max(LEAST_WAIT))))
    }

    /// What is left of a quota that runs low is spread over the time until its reset.
    fn delay(&self, quotas: &Quotas, quota: &Quota, now: Timestamp) -> Option<f64> {
        let all: Vec<&Left> = quotas.left.iter().filter_map(|left| left.get(&quota.name)).collect();
        let reserve = |left: &Left| self.least_reserve.max(left.limit as f64 * self.reserve);
        if all.iter().any(|left| !left.is_tracked || left.remaining as f64 > reserve(left)) {
            return None;
        }
        let seconds = quotas.left[quotas.active].get(&quota.name)?.reset.duration_since(now).as_secs_f64();
        let total: i64 = all.iter().map(|left| left.remaining.max(0)).sum();
        (total > 0 && seconds > 0.0).then(|| (seconds / total as f64).min(MOST_DELAY))
    }

    pub fn inject(&self, session: &Session, parts: &mut Parts) {
        let active = session.quotas.get(&self.id).map_or(0, |quotas| quotas.active);
        if let Some(token) = self.tokens.get(active).or_else(|| self.tokens.first()) {
            parts.headers.insert(self.header.clone(), self.authorization(token).into());
        }
    }

    /// Takes what an answer says of the quota; whether another token has some left.
    pub fn observe(&self, ask: &Ask, response: &Response, session: &mut Session) -> bool {
        let quota = self.quota_of(Some(ask));
        let Some(quotas) = session.quotas.get_mut(&self.id) else { return false };
        let active = quotas.active;
        let number = |name: &Option<String>| {
            name.as_ref().and_then(|name| response.header(&name.to_lowercase())?.trim().parse::<i64>().ok())
        };
        let reset = quota.reset_header.as_ref().and_then(|name| point::lenient(response.header(&name.to_lowercase())?));
        if let Some(left) =
            quotas.left.get_mut(active).and_then(|left| left.get_mut(&quota.name)).filter(|l| l.is_tracked)
        {
            let is_exhausted = quota.exhausted.contains(&i64::from(response.status));
            let remaining = number(&quota.remaining_header).or(is_exhausted.then_some(0));
            if let Some(limit) = number(&quota.limit_header).filter(|limit| *limit > 0) {
                left.limit = limit;
            }
            match reset.filter(|reset| *reset > left.reset) {
                Some(reset) => {
                    left.reset = reset;
                    left.remaining = remaining.unwrap_or(left.limit);
                }
                None => left.remaining = left.remaining.min(remaining.unwrap_or(left.remaining)),
            }
        }
        let spent = |left: &BTreeMap<String, Left>| left.get(&quota.name).is_some_and(|left| left.remaining <= 0);
        quotas.left.get(active).is_some_and(spent) && quotas.left.iter().any(|left| !spent(left))
    }
}

impl Quota {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        Some(Self {
            name: node.require("name", cx)?.value.as_str().unwrap_or_default().to_owned(),
            remaining: node.texts("remaining_path", cx),
            reset: node.texts("reset_path", cx),
            limit: node.get("limit_path").map(|_| node.texts("limit_path", cx)),
            matchers: node.list("matchers").iter().filter_map(|node| Matcher::compile(node, cx)).collect(),
            remaining_header: node.text("remaining_header", cx).map(str::to_owned),
            reset_header: node.text("reset_header", cx).map(str::to_owned),
            limit_header: node.text("limit_header", cx).map(str::to_owned),
            exhausted: node.list("exhaustion_status_codes").iter().filter_map(|code| code.value.as_i64()).collect(),
        })
    }
}

fn whole(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_f64().map(|float| float as i64)).unwrap_or(0)
}
