//! A request as API Gateway's HTTP APIs hand it on.
//!
//! Always holds, as on AWS: header names are lower case and each is there once, with the values of repeated
//! ones joined by commas; cookies are no header but a list; the path is percent-decoded, the query is not;
//! a body that isn't text is base64.

use std::collections::HashMap;
use std::net::SocketAddr;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpRequestContext};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderName, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use teal::domain::Millis;

const ROUTE: &str = "$default";

/// What the server knows of a request beyond its own words.
pub(super) struct Received {
    /// The address of whoever asked.
    pub peer: String,
    pub address: SocketAddr,
    pub at: Millis,
    /// The same as [`common_log_time`] writes it.
    pub time: String,
    pub id: String,
}

/// `None` when the path decodes to no text: AWS refuses such a request, too.
pub(super) fn event(head: Parts, body: &Bytes, received: &Received) -> Option<ApiGatewayV2httpRequest> {
    let path = decode_path(head.uri.path())?;
    let query = head.uri.query().unwrap_or_default();
    let mut event = ApiGatewayV2httpRequest::default();
    event.version = Some("2.0".to_owned());
    event.route_key = Some(ROUTE.to_owned());
    event.raw_path = Some(path.clone());
    event.raw_query_string = Some(query.to_owned());
    event.query_string_parameters = parameters(query).into();
    event.cookies = cookies(&head.headers);
    event.request_context = context(&head, path, received);
    if !body.is_empty() {
        match text(&head.headers, body) {
            Some(text) => event.body = Some(text.to_owned()),
            None => {
                event.body = Some(STANDARD.encode(body));
                event.is_base64_encoded = true;
            }
        }
    }
    event.headers = headers(head.headers, received);
    Some(event)
}

fn context(head: &Parts, path: String, received: &Received) -> ApiGatewayV2httpRequestContext {
    let header = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let domain = header(HOST).map_or_else(|| received.address.ip().to_string(), without_port);
    let mut context = ApiGatewayV2httpRequestContext::default();
    context.route_key = Some(ROUTE.to_owned());
    context.stage = Some(ROUTE.to_owned());
    context.account_id = Some("000000000000".to_owned());
    context.apiid = Some("local".to_owned());
    context.request_id = Some(received.id.clone());
    context.domain_prefix = domain.split('.').next().map(str::to_owned);
    context.domain_name = Some(domain);
    context.time = Some(received.time.clone());
    context.time_epoch = received.at.0;
    context.http.method = head.method.clone();
    context.http.path = Some(path);
    context.http.protocol = Some(format!("{:?}", head.version));
    context.http.source_ip = Some(received.peer.clone());
    context.http.user_agent = Some(header(USER_AGENT).unwrap_or_default().to_owned());
    context
}

/// The port goes; the colons of an IPv6 address in its brackets stay.
fn without_port(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ => host.to_owned(),
    }
}

fn headers(mut headers: HeaderMap, received: &Received) -> HeaderMap {
    headers.remove(COOKIE);
    if headers.len() > headers.keys_len() {
        headers = headers.keys().map(|name| (name.clone(), joined(&headers, name))).collect();
    }
    let forwarded_for = HeaderName::from_static("x-forwarded-for");
    let peer = &received.peer;
    // Whoever asked may have claimed anything; the last address is the one that the server saw.
    let chain = match headers.get(&forwarded_for).map(HeaderValue::as_bytes) {
        Some(claimed) => [claimed, b", ", peer.as_bytes()].concat(),
        None => peer.clone().into_bytes(),
    };
    if let Ok(chain) = HeaderValue::from_bytes(&chain) {
        headers.insert(forwarded_for, chain);
    }
    headers.insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static("http"));
    headers.insert(HeaderName::from_static("x-forwarded-port"), HeaderValue::from(received.address.port()));
    headers
}

fn joined(from: &HeaderMap, name: &HeaderName) -> HeaderValue {
    let values: Vec<&[u8]> = from.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&values.join(&b","[..])).expect("valid values joined by a comma are a valid value")
}

fn cookies(headers: &HeaderMap) -> Option<Vec<String>> {
    let cookies: Vec<String> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(|cookie| cookie.trim().to_owned())
        .filter(|cookie| !cookie.is_empty())
        .collect();
    (!cookies.is_empty()).then_some(cookies)
}

/// Repeated ones are joined by commas, as AWS does it.
fn parameters(query: &str) -> HashMap<String, String> {
    let mut parameters: HashMap<String, String> = HashMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode_form(name), decode_form(value));
        parameters
            .entry(name)
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert(value);
    }
    parameters
}

fn decode_form(text: &str) -> String {
    String::from_utf8_lossy(&percent_decoded(&text.replace('+', " "))).into_owned()
}

fn decode_path(path: &str) -> Option<String> {
    String::from_utf8(percent_decoded(path)).ok()
}

/// A `%` that two hex digits don't follow stays.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

/// The body as text, if its type says that it is and it is.
fn text<'a>(headers: &HeaderMap, body: &'a Bytes) -> Option<&'a str> {
    let kind = headers.get(CONTENT_TYPE).map_or(Some("text/plain"), |value| value.to_str().ok())?;
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&kind.as_str())
        || kind.ends_with("+json")
        || kind.ends_with("+xml");
    if is_text { std::str::from_utf8(body).ok() } else { None }
}

/// `12/Mar/2020:19:03:58 +0000`
pub(super) fn common_log_time(at: Millis) -> String {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}
