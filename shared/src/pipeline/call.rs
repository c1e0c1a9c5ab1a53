//! A request made of a template, sent within its source's limits.
//!
//! Always holds (P9, P11): each attempt has a permit of its own; the address is where the operator's base leads, whatever
//! a program gave; what is said of a failure holds neither address nor secret.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::error::StageError;
use super::limits::permit;
use super::systems::Systems;
use crate::config::Limits;
use crate::config::after::{Template, Value};
use crate::config::jq::Program;
use crate::domain::{Millis, SourceId};
use crate::metrics::{self, Meter};
use crate::ports::upstream::{HeaderValue, Request, Response};
use crate::ports::{Clock, Entropy, Ledger, Upstream};

/// Longest rest that a source may ask for.
const LONGEST: Duration = Duration::from_secs(3600);

/// What it takes to ask somebody.
pub struct Caller<'a> {
    pub ledger: &'a dyn Ledger,
    pub upstream: &'a dyn Upstream,
    pub systems: &'a Systems,
    pub clock: &'a dyn Clock,
    pub entropy: &'a dyn Entropy,
    pub meter: &'a dyn Meter,
}

/// Path and body, worked out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Made {
    pub path: String,
    pub body: Option<Json>,
}

#[derive(Debug)]
pub enum Answered {
    Good(Response),
    /// The source does not have it.
    Missing,
    /// It may work later; after so long, where the source says.
    Later {
        why: String,
        after: Option<Duration>,
    },
    /// Asking again gives the same.
    Refused(String),
}

/// The one value that a program gives.
pub fn one(program: &Program, input: &Json) -> Result<Json, String> {
    let mut all = program.run(input, 1).map_err(|error| error.to_string())?;
    all.pop().ok_or_else(|| format!("the jq program gives nothing: {}", program.source()))
}

/// What a template asks for with this input, or why that is nothing to ask for.
pub fn make(template: &Template, input: &Json) -> Result<Made, String> {
    let path = match one(&template.path, input)? {
        Json::String(path) => path,
        other => return Err(format!("the path of a request is no text: {other}")),
    };
    leads_to(&template.base, &path)?;
    let body = template.body.as_ref().map(|body| one(body, input)).transpose()?;
    Ok(Made { path, body })
}

/// The whole address. A path may not lead away from its base: not to another host, nor up out of it.
fn leads_to(base: &str, path: &str) -> Result<String, String> {
    let (before, query) = path.split_once('?').unwrap_or((path, ""));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#'));
    // A dot may be written with a percent sign, too.
    let up = before.split('/').any(|part| {
        let part = part.to_ascii_lowercase().replace("%2e", ".");
        part == "." || part == ".."
    });
    if !path.starts_with('/') || up || !plain(path) || !plain(query) {
        let why = "the path of a request must begin with '/', and hold neither '.' or '..' as a part nor spaces; \
                   write what a delivery says with @uri";
        return Err(why.to_owned());
    }
    Ok(format!("{base}{path}"))
}

impl Caller<'_> {
    pub async fn send(
        &self,
        source: &SourceId,
        limits: &Limits,
        template: &Template,
        made: &Made,
    ) -> Result<Answered, StageError> {
        let url = match leads_to(&template.base, &made.path) {
            Ok(url) => url,
            Err(why) => return Ok(Answered::Refused(why)),
        };
        let mut headers = Vec::new();
        for (name, value) in &template.headers {
            let value = match value {
                Value::Plain(text) => HeaderValue::Plain(text.clone()),
                Value::Secret(secret) => HeaderValue::Secret(self.systems.secret(secret).await?),
            };
            headers.push((name.clone(), value));
        }
        if let Some(bearer) = &template.bearer {
            let secret = self.systems.secret(bearer).await?;
            let secret = crate::domain::Secret::new(format!("Bearer {}", secret.expose()));
            headers.push(("authorization".to_owned(), HeaderValue::Secret(secret)));
        }
        let mut body = Vec::new();
        if let Some(json) = &made.body {
            let kind = if template.form { "application/x-www-form-urlencoded" } else { "application/json" };
            headers.push(("content-type".to_owned(), HeaderValue::Plain(kind.to_owned())));
            body = if template.form { form(json) } else { json.to_string() }.into_bytes();
        }
        permit(self.ledger, self.clock, self.entropy, source, limits.per_second).await?;
        let request = Request {
            method: template.method.clone(),
            url,
            headers,
            body: body.into(),
            timeout: limits.timeout,
            max_body: limits.max_body,
        };
        let answer = self.upstream.send(request).await;
        let status = answer.as_ref().map_or("fault", |answer| metrics::status_class(answer.status));
        self.meter.count(&metrics::HTTP_REQUESTS, &[source.name.as_str(), status], 1);
        Ok(match answer {
            Ok(response) => self.judge(response),
            Err(fault) if fault.is_retryable() => Answered::Later { why: fault.to_string(), after: None },
            Err(fault) => Answered::Refused(fault.to_string()),
        })
    }

    fn judge(&self, response: Response) -> Answered {
        let why = format!("it was answered with {}", response.status);
        match response.status {
            200..300 => Answered::Good(response),
            404 | 410 => Answered::Missing,
            // Rights are given late, and come back.
            401 | 403 | 408 | 409 | 423 | 425 | 429 | 500.. => {
                let after = response.header("retry-after").and_then(|after| self.wait(after.trim()));
                Answered::Later { why, after }
            }
            _ => Answered::Refused(why),
        }
    }

    fn wait(&self, after: &str) -> Option<Duration> {
        let wait = match after.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let at = httpdate::parse_http_date(after).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
                Millis(0).plus(at).since(self.clock.now())
            }
        };
        Some(wait.min(LONGEST))
    }
}

/// An answer as programs see it where they need headers: `{status, headers, body}`.
#[must_use]
pub fn shown(response: &Response) -> Json {
    let headers: Map<String, Json> =
        response.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({ "status": response.status, "headers": headers, "body": json_of(response) })
}

#[must_use]
pub fn json_of(response: &Response) -> Json {
    serde_json::from_slice(&response.body).unwrap_or(Json::Null)
}

fn form(json: &Json) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in json.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        form.append_pair(name, &text);
    }
    form.finish()
}

/// How long to rest after so many attempts that failed: doubled each time, up to an hour, half of it left to chance.
#[must_use]
pub fn rest(tries: u32, entropy: &dyn Entropy) -> Duration {
    let full = Duration::from_secs(2).saturating_mul(1 << tries.min(11)).min(LONGEST);
    let half = u64::try_from(full.as_millis() / 2).unwrap_or(u64::MAX);
    Duration::from_millis(half + entropy.next() % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leads_away_from_its_base() {
        let base = "https://api.example.com/v1";
        assert_eq!(leads_to(base, "/pages/7?x=..%2F").unwrap(), "https://api.example.com/v1/pages/7?x=..%2F");
        for path in [
            "@evil.example.com/",
            ".evil.example.com",
            ":80@x",
            "/../admin",
            "/a/%2e%2E/b",
            "/a b",
            "/a\\..\\b",
            "/#",
            "",
            "/a\nb",
        ] {
            assert!(leads_to(base, path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_form_is_written_as_browsers_write_it() {
        assert_eq!(
            form(&json!({ "hub.mode": "subscribe", "n": 5, "url": "https://a/b?c" })),
            "hub.mode=subscribe&n=5&url=https%3A%2F%2Fa%2Fb%3Fc"
        );
    }
}
