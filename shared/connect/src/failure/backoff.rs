//! Backoff strategies: how long to wait before a request is sent again.

use crate::value::Value;
use jiff::Timestamp;
use teal::ports::upstream::Response;

use super::Failure;
use crate::interpolate::{Context, Template, Variable};
use crate::node::{Compiler, Node};
use crate::python;

#[derive(Clone, Debug)]
pub struct Backoff {
    kind: Kind,
    most: Option<Template>,
}

#[derive(Clone, Debug)]
enum Kind {
    Constant { seconds: Template, jitter: Option<f64> },
    Exponential { factor: Option<Template>, jitter: Option<f64> },
    Header { header: Template, regex: Option<Template> },
    UntilHeader { header: Template, regex: Option<Template>, least: Option<Template> },
    Response { seconds: Template },
}

impl Backoff {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let kind = match node.kind() {
            "ConstantBackoffStrategy" => Kind::Constant {
                seconds: node.require_template("backoff_time_in_seconds", cx)?,
                jitter: node.number("jitter_range_in_seconds", cx),
            },
            "ExponentialBackoffStrategy" => Kind::Exponential {
                factor: node.template("factor", cx).filter(|factor| !matches!(factor.text(), "0" | "0.0" | "")),
                jitter: node.number("jitter_range_in_seconds", cx),
            },
            "WaitTimeFromHeader" => {
                let header = node.require_template("header", cx)?;
                Kind::Header { header, regex: regex(node, cx) }
            }
            "WaitUntilTimeFromHeader" => Kind::UntilHeader {
                header: node.require_template("header", cx)?,
                regex: regex(node, cx),
                least: node.template("min_wait", cx),
            },
            "WaitTimeFromResponse" => Kind::Response { seconds: node.require_template("wait_time_in_seconds", cx)? },
            _ => {
                cx.unknown(node, "backoff strategy");
                return None;
            }
        };
        Some(Self { kind, most: node.template("max_waiting_time_in_seconds", cx) })
    }

    /// Seconds; `None` or nothing to wait lets the next strategy answer. `random` is within 0 and 1.
    pub fn wait(
        &self,
        response: Option<&Response>,
        attempt: u32,
        now: Timestamp,
        random: &mut dyn FnMut() -> f64,
        cx: &Context,
    ) -> Result<Option<f64>, Failure> {
        let mut spread = |seconds: f64, jitter: &Option<f64>| jitter.map_or(seconds, |j| seconds + j * 2.0 * random());
        let wait = match &self.kind {
            Kind::Constant { seconds, jitter } => Some(spread(number(&seconds.render(cx)?)?, jitter)),
            Kind::Exponential { factor, jitter } => {
                let factor = factor.as_ref().map_or(Ok(5.0), |factor| number(&factor.render(cx)?))?;
                Some(spread(factor * 2f64.powi(attempt.min(64) as i32), jitter))
            }
            Kind::Header { header, regex } => header_number(response, header, regex.as_ref(), cx)?,
            Kind::UntilHeader { header, regex, least } => {
                let until = header_number(response, header, regex.as_ref(), cx)?.filter(|until| *until != 0.0);
                let least = least.as_ref().map(|least| number(&least.render(cx)?)).transpose()?;
                let least = least.filter(|least| *least != 0.0);
                match (until, least) {
                    (None, least) => least,
                    (Some(until), least) => {
                        let wait = until - now.as_microsecond() as f64 / 1e6;
                        least.map_or((wait >= 0.0).then_some(wait), |least| Some(wait.max(least)))
                    }
                }
            }
            Kind::Response { seconds } => response_number(seconds, response, cx)?,
        };
        if let (Some(most), Some(wait)) = (&self.most, wait) {
            let most = number(&most.render(cx)?)?;
            if wait > 0.0 && wait >= most {
                return Err(Failure::transient(format!(
                    "the source wants {wait} seconds of waiting, and the connector may wait less than {most}"
                )));
            }
        }
        Ok(wait.filter(|wait| *wait != 0.0))
    }
}

fn regex(node: &Node, cx: &mut Compiler) -> Option<Template> {
    node.template("regex", cx).filter(|template| !template.text().is_empty())
}

fn number(value: &Value) -> Result<f64, Failure> {
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| Failure::system("a waiting time is no number; check the error handler's templates"))
}

fn header_number(
    response: Option<&Response>,
    header: &Template,
    regex: Option<&Template>,
    cx: &Context,
) -> Result<Option<f64>, Failure> {
    let name = header.render_text(cx)?.to_lowercase();
    let Some(text) = response.and_then(|response| response.header(&name)) else { return Ok(None) };
    let mut text = text;
    if let Some(regex) = regex {
        let pattern = format!("^(?:{})", regex.render_text(cx)?);
        let regex = fancy_regex::Regex::new(&pattern)
            .map_err(|_| Failure::system("the regex of a backoff strategy can't be read"))?;
        if let Ok(Some(found)) = regex.find(text) {
            text = &text[..found.end()];
        }
    }
    Ok(text.trim().parse().ok())
}

fn response_number(seconds: &Template, response: Option<&Response>, cx: &Context) -> Result<Option<f64>, Failure> {
    let body = response.and_then(|response| serde_json::from_slice(&response.body).ok());
    let body = body.unwrap_or_else(|| Value::Object(Default::default()));
    let headers = response.map_or(Value::Object(Default::default()), |r| crate::http::headers_value(r, false));
    let cx = cx.clone().with("response", &body).with("headers", Variable::Headers(&headers));
    // What can't be evaluated leaves the wait to the next strategy.
    let Ok(value) = seconds.render(&cx) else { return Ok(None) };
    Ok(python::text_of(&value).trim().parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0))
}
