//! Requests on their way out and answers on their way in, before anybody sends or stores them.

use std::time::Duration;

use crate::value::{Map, Value};
use teal::domain::Secret;
use teal::ports::upstream::{HeaderValue, Request, Response};

use crate::failure::Failure;
use crate::python;

/// How long an exchange may take unless the manifest says otherwise.
const TIMEOUT: Duration = Duration::from_secs(300);
/// How large an answer may be: memory is per page.
pub const MAX_BODY: usize = 512 * 1024 * 1024;

/// One request that the engine wants sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub request: Request,
    /// The answer may be taken from, and kept for, another reader of the same listing.
    pub cache: bool,
    /// The body is wanted as it comes over the wire, its content encoding included.
    pub raw: bool,
    /// What the answer is for. Only pages may be stored.
    pub purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Page,
    /// Its answer is a secret.
    Token,
    /// Starts, asks after or ends something at the source; asked again it does it again.
    Job,
}

/// What a request carries, before it is put together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    pub params: Map,
    pub headers: Map,
    pub data: Data,
    pub json: Map,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    Form(Map),
    Text(String),
}

impl Default for Data {
    fn default() -> Self {
        Self::Form(Map::new())
    }
}

impl Data {
    fn is_empty(&self) -> bool {
        match self {
            Self::Form(members) => members.is_empty(),
            Self::Text(text) => text.is_empty(),
        }
    }
}

impl Parts {
    /// Adds what another component wants. Nobody may want the same twice, except equal members of a JSON body.
    pub fn add(&mut self, other: Parts) -> Result<(), Failure> {
        merge(&mut self.params, other.params, false, "")?;
        merge(&mut self.headers, other.headers, false, "")?;
        merge(&mut self.json, other.json, true, "")?;
        match (&mut self.data, other.data) {
            (_, other) if other.is_empty() => {}
            (mine, other) if mine.is_empty() => *mine = other,
            (Data::Form(mine), Data::Form(other)) => merge(mine, other, false, "")?,
            _ => return Err(Failure::system("a body that is a text can't be combined with other members")),
        }
        Ok(())
    }
}

fn merge(mine: &mut Map, other: Map, same: bool, path: &str) -> Result<(), Failure> {
    for (name, value) in other {
        match (mine.get_mut(&name), value) {
            (None, value) => {
                mine.insert(name, value);
            }
            (Some(Value::Object(mine)), Value::Object(value)) if same => {
                merge(mine, value, same, &format!("{path}{name}."))?;
            }
            (Some(mine), value) if same && *mine == value => {}
            _ => return Err(Failure::system(format!("the request would carry '{path}{name}' twice; rename one"))),
        }
    }
    Ok(())
}

/// Puts a request together as Python's `requests` does.
pub fn request(
    method: &http::Method,
    url: &str,
    parts: Parts,
    secret_header: Option<&str>,
    timeout: Option<Duration>,
) -> Result<Request, Failure> {
    let mut url = parse(url)?;
    let there: Vec<(String, String)> = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    let mut params = Vec::new();
    for (name, value) in &parts.params {
        let first = there.iter().find(|(known, value)| known == name && !value.is_empty());
        if first.is_some_and(|(_, known)| *known == python::text_of(value)) {
            continue;
        }
        if value.is_object() {
            return Err(Failure::system(format!("the request parameter '{name}' can't be an object")));
        }
        pairs(name, value, &mut params);
    }
    if !params.is_empty() {
        let more = form(&params);
        let query = url.query().filter(|query| !query.is_empty());
        let query = query.map_or(more.clone(), |query| format!("{query}&{more}"));
        url.set_query(Some(&query));
    }
    let mut headers: Vec<(String, HeaderValue)> = Vec::new();
    for (name, value) in &parts.headers {
        let text = python::text_of(value);
        let is_secret = secret_header.is_some_and(|secret| secret.eq_ignore_ascii_case(name));
        let value = if is_secret { HeaderValue::Secret(Secret::new(text)) } else { HeaderValue::Plain(text) };
        headers.push((name.clone(), value));
    }
    let mut content_type = None;
    let body = match (parts.json.is_empty(), parts.data) {
        (false, data) if !data.is_empty() => {
            return Err(Failure::system("a request has either a JSON body or a form, not both"));
        }
        (false, _) => {
            content_type = Some("application/json");
            python::dumps(&Value::Object(parts.json), false, false)
        }
        (true, Data::Text(text)) => text,
        (true, Data::Form(members)) if members.is_empty() => String::new(),
        (true, Data::Form(members)) => {
            content_type = Some("application/x-www-form-urlencoded");
            let mut out = Vec::new();
            members.iter().for_each(|(name, value)| pairs(name, value, &mut out));
            form(&out)
        }
    };
    if let Some(content_type) = content_type
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("Content-Type".to_owned(), HeaderValue::Plain(content_type.to_owned())));
    }
    Ok(Request {
        method: method.clone(),
        url: url.into(),
        headers,
        body: body.into(),
        timeout: timeout.unwrap_or(TIMEOUT),
        max_body: MAX_BODY,
    })
}

fn pairs(name: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => {
            out.extend(items.iter().filter(|v| !v.is_null()).map(|v| (name.to_owned(), python::text_of(v))));
        }
        Value::Null => {}
        other => out.push((name.to_owned(), python::text_of(other))),
    }
}

/// `name=value&…`, encoded as for a form.
pub fn form(pairs: &[(String, String)]) -> String {
    let mut out = ::url::form_urlencoded::Serializer::new(String::new());
    out.extend_pairs(pairs);
    out.finish()
}

fn parse(text: &str) -> Result<::url::Url, Failure> {
    let url = ::url::Url::parse(text).map_err(|error| {
        Failure::config(format!("the requests' URL is none ({error}); check url_base and path, and the configuration"))
    })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(Failure::config(format!("the requests' URL begins with '{other}:'; it must be http or https"))),
    }
}

/// As Python's `urljoin`, with a slash after the base.
pub fn join(base: &str, path: &str) -> Result<String, Failure> {
    if path.is_empty() {
        return Ok(base.to_owned());
    }
    let base = if base.ends_with('/') { base.to_owned() } else { format!("{base}/") };
    if base == "/" {
        return Ok(path.to_owned());
    }
    // A colon in the first segment is no scheme, unless what is before it is one.
    let is_whole = path.starts_with("http:") || path.starts_with("https:");
    let path = if !is_whole && path.split('/').next().is_some_and(|head| head.contains(':')) {
        format!("./{path}")
    } else {
        path.to_owned()
    };
    parse(&base)?
        .join(&path)
        .map(Into::into)
        .map_err(|_| Failure::system("the path of a request is no path; check the template that makes it"))
}

/// A URL as messages show it: no query, no user, no password.
pub fn shown(url: &str) -> String {
    ::url::Url::parse(url).map_or_else(
        |_| "an unreadable URL".to_owned(),
        |url| format!("{}://{}{}", url.scheme(), host(&url), url.path()),
    )
}

fn host(url: &::url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The headers of an answer as templates see them, `link` parsed.
pub fn headers_value(response: &Response, links: bool) -> Value {
    let mut out = Map::new();
    for (name, value) in &response.headers {
        match out.get_mut(name) {
            Some(Value::String(known)) => {
                known.push_str(", ");
                known.push_str(value);
            }
            _ => {
                out.insert(name.clone(), value.as_str().into());
            }
        }
    }
    if links {
        let header = out.get("link").and_then(Value::as_str).map(parse_links).unwrap_or_default();
        out.insert("link".to_owned(), header.into());
    }
    out.into()
}

/// A Link header by relation, as Python's `requests` gives it.
fn parse_links(header: &str) -> Map {
    let mut out = Map::new();
    let mut rest = header.trim_matches([' ', '\'', '"']);
    while !rest.is_empty() {
        let end = rest.match_indices(',').find(|(at, _)| rest[at + 1..].trim_start().starts_with('<'));
        let (entry, after) = end.map_or((rest, ""), |(at, _)| (&rest[..at], &rest[at + 1..]));
        rest = after.trim_start();
        let (url, params) = entry.split_once(';').unwrap_or((entry, ""));
        let mut link = Map::new();
        let url = url.trim_matches(['<', '>', ' ', '\'', '"']);
        link.insert("url".to_owned(), url.into());
        for param in params.split(';') {
            let Some((key, value)) = param.split_once('=') else { break };
            let strip = [' ', '\'', '"'];
            link.insert(key.trim_matches(strip).to_owned(), value.trim_matches(strip).into());
        }
        let key = link.get("rel").and_then(Value::as_str).unwrap_or(url).to_owned();
        out.insert(key, link.into());
    }
    out
}

/// The headers in the form that decoders take.
pub fn header_map(response: &Response) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for (name, value) in &response.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            map.append(name, value);
        }
    }
    map
}
