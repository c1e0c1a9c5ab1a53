//! JSON over HTTP: one GET a page, a list of records in each answer.
//!
//! Positions are `{"spot": …, "started": ms, "since": "…"?}`. `started` is when the listing began, or earlier:
//! an answer whose `Date` is before it lowers it, so that a source whose clock is behind ours misses nothing.
//! The cursor that a complete listing leaves is a text: `started` minus the lookback, in RFC 3339.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use teal::domain::{Millis, Mode, StreamName};
use teal::ports::connector::{Answer, Connector, ConnectorError, Next};
use teal::ports::upstream::{HeaderValue, Request, Response};

use crate::manifest::{Auth, Manifest, Stream};
use crate::pages::{Lead, Spot};
use crate::{excerpt, retry_after, url};

/// What a request gets unless poll says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 32 * 1024 * 1024;

#[derive(Debug)]
pub struct JsonHttp {
    manifest: Manifest,
}

#[derive(Debug, Serialize, Deserialize)]
struct Position {
    spot: Spot,
    started: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl Position {
    fn decode(value: &Value) -> Result<Self, ConnectorError> {
        Self::deserialize(value).map_err(|error| {
            ConnectorError::Body(format!("the position {value} was not made by this connector's manifest: {error}"))
        })
    }

    fn encode(&self) -> Value {
        serde_json::to_value(self).expect("a position has only string keys")
    }
}

impl JsonHttp {
    pub fn new(manifest: Manifest) -> Self {
        Self { manifest }
    }

    fn stream(&self, name: &StreamName) -> Result<&Stream, ConnectorError> {
        self.manifest.streams.get(name).ok_or_else(|| ConnectorError::NoStream(name.clone()))
    }

    fn says(&self, body: &[u8]) -> String {
        let secret = self.manifest.auth.as_ref().map(|auth| &auth.secret);
        excerpt::of_body(body, secret).map(|said| format!(" It says: {said}")).unwrap_or_default()
    }

    fn judge_page(&self, stream: &Stream, position: &Position, response: &Response) -> Result<Next, String> {
        let body: Value = serde_json::from_slice(&response.body).map_err(|error| format!("it is not JSON: {error}"))?;
        if let Some(error) = stream.error.as_ref().and_then(|path| path.find(&body)).filter(|error| !error.is_null()) {
            let secret = self.manifest.auth.as_ref().map(|auth| &auth.secret);
            return Err(format!("it holds an error: {}", excerpt::of_value(error, secret)));
        }
        let records = stream
            .records
            .find(&body)
            .and_then(Value::as_array)
            .ok_or_else(|| format!("there is no list at '{}'", stream.records))?;
        let started = retry_after::date(response).map_or(position.started, |date| date.min(position.started));
        Ok(match stream.pages.lead(&position.spot, &body, records.len())? {
            Lead::Next(spot) => Next::Page(Position { spot, started, since: position.since.clone() }.encode()),
            Lead::End => Next::End {
                cursor: stream.since.as_ref().map(|since| Value::String(started.minus(since.lookback).to_string())),
            },
        })
    }

    fn judge_refusal(&self, name: &StreamName, stream: &Stream, response: &Response) -> String {
        let (status, url) = (response.status, &stream.url);
        let check = match (status, &self.manifest.auth) {
            (401 | 403, Some(Auth { member, .. })) => format!(
                "check that the secret behind '{member}' in the source's config is right, has not expired and may list '{name}'."
            ),
            (401 | 403, None) => "the source wants credentials; give the manifest an 'auth'.".to_owned(),
            (404 | 410, _) => format!("check base_url in the source's config, and the manifest's path of '{name}'."),
            (300..=399, _) => match response.header("location") {
                Some(_) => "redirects are not followed; set base_url and path to where it leads.".to_owned(),
                None => "redirects are not followed; check base_url.".to_owned(),
            },
            _ => format!("check the manifest's path and parameters of '{name}'."),
        };
        format!("{url} answered {status}: {check}{}", self.says(&response.body))
    }
}

impl Connector for JsonHttp {
    fn streams(&self) -> Vec<StreamName> {
        self.manifest.streams.keys().cloned().collect()
    }

    fn incremental(&self, stream: &StreamName) -> bool {
        self.manifest.streams.get(stream).is_some_and(|stream| stream.since.is_some())
    }

    /// An incremental listing without a cursor asks for everything.
    fn begin(
        &self,
        stream: &StreamName,
        mode: Mode,
        cursor: Option<&Value>,
        now: Millis,
    ) -> Result<Value, ConnectorError> {
        let stream = self.stream(stream)?;
        let since = match cursor.filter(|_| mode == Mode::Incremental && stream.since.is_some()) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => {
                return Err(ConnectorError::Body(format!("the cursor {other} was not left by this connector")));
            }
        };
        Ok(Position { spot: stream.pages.first(), started: now, since }.encode())
    }

    fn request(&self, stream: &StreamName, position: &Value) -> Result<Request, ConnectorError> {
        let stream = self.stream(stream)?;
        let decoded = Position::decode(position)?;
        let pages = stream.pages.query(&decoded.spot).ok_or_else(|| {
            ConnectorError::Body(format!("the position {position} is of another page style than the manifest's"))
        })?;
        let mut query: Vec<(&str, &str)> = stream.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        query.extend(pages.iter().map(|(name, value)| (*name, value.as_str())));
        if let (Some(since), Some(text)) = (&stream.since, &decoded.since) {
            query.push((since.param.as_str(), text.as_str()));
        }
        let mut headers = vec![("accept".to_owned(), HeaderValue::Plain("application/json".to_owned()))];
        if let Some(auth) = &self.manifest.auth {
            headers.push((auth.header.clone(), HeaderValue::Secret(auth.value.clone())));
        }
        Ok(Request {
            method: Method::GET,
            url: url::with_query(stream.url.clone(), &query),
            headers,
            body: Bytes::new(),
            timeout: TIMEOUT,
            max_body: MAX_BODY,
        })
    }

    fn read(&self, name: &StreamName, position: &Value, response: &Response) -> Answer {
        let (stream, position) = match self.stream(name).and_then(|s| Ok((s, Position::decode(position)?))) {
            Ok(both) => both,
            Err(error) => return Answer::Refused { why: error.to_string() },
        };
        let status = response.status;
        let after = retry_after::read(response, position.started);
        match status {
            200..=299 => match self.judge_page(stream, &position, response) {
                Ok(next) => Answer::Page { next },
                Err(why) => Answer::Retry {
                    after: None,
                    quota: false,
                    why: format!("{} answered {status}, but not with a page of '{name}': {why}", stream.url),
                },
            },
            429 => Answer::Retry {
                after,
                quota: true,
                why: format!("{} answered 429: it wants fewer requests.{}", stream.url, self.says(&response.body)),
            },
            408 | 425 | 500.. => Answer::Retry {
                after,
                quota: false,
                why: format!("{} answered {status}.{}", stream.url, self.says(&response.body)),
            },
            _ => Answer::Refused { why: self.judge_refusal(name, stream, response) },
        }
    }

    fn records(&self, stream: &StreamName, _: &Value, body: &Bytes) -> Result<Vec<Value>, ConnectorError> {
        let path = &self.stream(stream)?.records;
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| ConnectorError::Body(format!("the page is not JSON: {error}")))?;
        match path.take(body) {
            Some(Value::Array(records)) => Ok(records),
            _ => Err(ConnectorError::Body(format!("the page has no list at '{path}'"))),
        }
    }
}
