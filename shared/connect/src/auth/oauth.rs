//! OAuth: an access token that a refresh token, client credentials or an assertion give, for some time.

use crate::value::{Map, Value};
use jiff::{SignedDuration, Timestamp};
use teal::ports::upstream::Response;

use super::{identity, jwt::Jwt};
use crate::cursor::point;
use crate::failure::Failure;
use crate::http::{self, Ask, Data, Parts, Purpose};
use crate::interpolate::{Context, Template, TemplatedMap};
use crate::node::{Compiler, Node};
use crate::session::{Notice, Session, Token};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How deep in an answer a token is looked for.
const DEEPEST: usize = 5;

#[derive(Debug)]
pub struct OAuth {
    pub id: String,
    endpoint: Option<Template>,
    names: Names,
    client_id: Option<Template>,
    client_secret: Option<Template>,
    refresh_token: Option<Template>,
    access_token: Option<Template>,
    /// Until when that one is good.
    expires: Option<Template>,
    grant_type: Template,
    body: TemplatedMap,
    headers: TemplatedMap,
    scopes: Vec<String>,
    as_query: bool,
    expires_is_moment: bool,
    assertion: Option<Jwt>,
    rejected: Rejected,
    updater: Option<Updater>,
}

#[derive(Debug)]
struct Names {
    grant_type: Template,
    client_id: Template,
    client_secret: Template,
    refresh_token: Template,
    access_token: Template,
    expires_in: Template,
}

/// Which answers mean that the refresh token is good no more.
#[derive(Debug)]
struct Rejected {
    codes: Vec<i64>,
    key: String,
    values: Vec<String>,
}

/// Where the configuration keeps what a refresh gives.
#[derive(Debug)]
struct Updater {
    access_token: Vec<String>,
    refresh_token: Vec<String>,
    expires: Vec<String>,
}

impl OAuth {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let updater = node.get("refresh_token_updater");
        let mut name = |field: &str, default: &str| {
            node.template(field, cx).filter(|t| !t.text().is_empty()).map_or_else(|| fixed(node, default, cx), Some)
        };
        let mut names = Names {
            grant_type: name("grant_type_name", "grant_type")?,
            client_id: name("client_id_name", "client_id")?,
            client_secret: name("client_secret_name", "client_secret")?,
            refresh_token: name("refresh_token_name", "refresh_token")?,
            access_token: name("access_token_name", "access_token")?,
            expires_in: name("expires_in_name", "expires_in")?,
        };
        if let Some(updater) = &updater {
            names.refresh_token =
                updater.template("refresh_token_name", cx).map_or_else(|| fixed(updater, "refresh_token", cx), Some)?;
        }
        let uses_assertion = node.flag("use_profile_assertion");
        let grant_type = match uses_assertion {
            true => fixed(node, JWT_BEARER, cx)?,
            false => node
                .template("grant_type", cx)
                .filter(|t| !t.text().is_empty())
                .map_or_else(|| fixed(node, "refresh_token", cx), Some)?,
        };
        let assertion = match node.get("profile_assertion") {
            Some(assertion) if uses_assertion => Some(Jwt::compile(&assertion, cx)?),
            None if uses_assertion => {
                cx.report(node, "'use_profile_assertion' needs 'profile_assertion'");
                None
            }
            _ => None,
        };
        let oauth = Self {
            id: identity(node, cx),
            endpoint: node.template("token_refresh_endpoint", cx),
            names,
            client_id: node.template("client_id", cx),
            client_secret: node.template("client_secret", cx),
            refresh_token: node.template("refresh_token", cx),
            access_token: node.template("access_token_value", cx),
            expires: node.template("token_expiry_date", cx),
            grant_type,
            body: map(node, "refresh_request_body", cx)?,
            headers: map(node, "refresh_request_headers", cx)?,
            scopes: node.texts("scopes", cx),
            as_query: node.flag("send_refresh_request_as_query_params"),
            expires_is_moment: node.get("token_expiry_date_format").is_some(),
            assertion,
            rejected: Rejected::compile(node, updater.as_ref(), cx),
            updater: updater.map(|node| Updater {
                access_token: path(&node, "access_token_config_path", "access_token", cx),
                refresh_token: path(&node, "refresh_token_config_path", "refresh_token", cx),
                expires: path(&node, "token_expiry_date_config_path", "token_expiry_date", cx),
            }),
        };
        if oauth.updater.is_none() {
            if !uses_assertion && (oauth.client_id.is_none() || oauth.client_secret.is_none()) {
                cx.report(node, "OAuthAuthenticator needs 'client_id' and 'client_secret'");
            }
            let is_refresh = oauth.grant_type.render_text(&cx.context()).is_ok_and(|grant| grant == "refresh_token");
            if is_refresh && oauth.refresh_token.is_none() {
                cx.report(node, "OAuthAuthenticator needs 'refresh_token', or another 'grant_type'");
            }
        }
        Some(oauth)
    }

    pub fn is_fresh(&self, session: &Session, now: Timestamp) -> Result<bool, Failure> {
        if let Some(updater) = &self.updater {
            let expires = crate::lookup::get(&session.config, &updater.expires).map(crate::python::text_of);
            let expires = expires.filter(|text| !text.is_empty()).and_then(|text| point::lenient(&text));
            return Ok(!session.tokens.get(&self.id).is_some_and(is_renewed) && expires.is_some_and(|at| now <= at));
        }
        if self.endpoint.is_none() && self.access_token.is_some() {
            return Ok(true);
        }
        let expires = match session.tokens.get(&self.id) {
            Some(token) => token.expires,
            None => self.given_until(session, now)?,
        };
        Ok(expires.is_some_and(|expires| now <= expires))
    }

    /// How long the token is good that the manifest gives, where it says so.
    fn given_until(&self, session: &Session, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
        let (Some(token), Some(expires)) = (&self.access_token, &self.expires) else { return Ok(None) };
        let cx = session.scope(now, None, &Value::Null);
        let expires = expires.render_text(&cx)?;
        if expires.is_empty() || token.render_text(&cx)?.is_empty() {
            return Ok(None);
        }
        let at = point::lenient(&expires);
        at.map(Some).ok_or_else(|| Failure::config("'token_expiry_date' gives no moment; check the configuration"))
    }

    /// Whatever the token says of itself, the next request gets a new one.
    pub fn expire(&self, session: &mut Session) -> bool {
        if self.endpoint.is_none() {
            return false;
        }
        // An empty token marks that even a configured one won't do.
        session.tokens.insert(self.id.clone(), Token { value: String::new(), expires: None });
        true
    }

    pub fn token(&self, session: &Session) -> Result<String, Failure> {
        if let Some(updater) = &self.updater {
            return Ok(crate::lookup::get(&session.config, &updater.access_token)
                .map(crate::python::text_of)
                .unwrap_or_default());
        }
        if let Some(token) = session.tokens.get(&self.id) {
            return Ok(token.value.clone());
        }
        let cx = Context::new(Timestamp::UNIX_EPOCH).with("config", session.config.as_ref());
        self.access_token.as_ref().map_or(Ok(String::new()), |template| Ok(template.render_text(&cx)?))
    }

    pub fn ask(&self, session: &Session, now: Timestamp) -> Result<Ask, Failure> {
        let cx = session.scope(now, None, &Value::Null);
        let url = self.endpoint.as_ref().map(|endpoint| endpoint.render_text(&cx)).transpose()?.unwrap_or_default();
        if url.is_empty() {
            return Err(Failure::system("'token_refresh_endpoint' gives nothing; check it and the configuration"));
        }
        let headers: Map = self.headers.render(&cx)?.into_iter().collect();
        let payload = self.payload(session, &cx, now, headers.contains_key("Authorization"))?;
        let mut parts = Parts { headers, ..Parts::default() };
        match self.as_query {
            true => parts.params = payload,
            false => parts.data = Data::Form(payload),
        }
        let request = http::request(&::http::Method::POST, &url, parts, Some("Authorization"), None)?;
        Ok(Ask { request, cache: false, raw: false, purpose: Purpose::Token })
    }

    fn payload(&self, session: &Session, cx: &Context, now: Timestamp, in_header: bool) -> Result<Map, Failure> {
        let mut out = Map::new();
        out.insert(self.names.grant_type.render_text(cx)?, self.grant_type.render_text(cx)?.into());
        if let Some(assertion) = &self.assertion {
            out.insert("assertion".to_owned(), assertion.token(cx, now)?.into());
            return Ok(out);
        }
        let credential = |name: &str, template: &Option<Template>| -> Result<Value, Failure> {
            let kept = self.updater.as_ref().and_then(|_| session.config.get("credentials")?.get(name));
            match (kept, template) {
                (Some(kept), _) => Ok(kept.clone()),
                (None, Some(template)) => Ok(template.render(cx)?),
                (None, None) => Ok(Value::Null),
            }
        };
        if !in_header {
            let client_id = credential("client_id", &self.client_id)?;
            if self.updater.is_none() && !crate::python::is_truthy(&client_id) {
                return Err(Failure::system("'client_id' gives nothing; check it and the configuration"));
            }
            out.insert(self.names.client_id.render_text(cx)?, client_id);
            out.insert(self.names.client_secret.render_text(cx)?, credential("client_secret", &self.client_secret)?);
        }
        let refresh_token = match &self.updater {
            Some(updater) => crate::lookup::get(&session.config, &updater.refresh_token).cloned().unwrap_or("".into()),
            None => match &self.refresh_token {
                Some(template) => template.render_text(cx)?.into(),
                None => Value::Null,
            },
        };
        out.insert(self.names.refresh_token.render_text(cx)?, refresh_token);
        if !self.scopes.is_empty() {
            out.insert("scopes".to_owned(), self.scopes.clone().into());
        }
        for (name, value) in self.body.render(cx)? {
            out.entry(name).or_insert(value);
        }
        Ok(out)
    }

    /// Keeps the token of a good answer.
    pub fn accept(&self, response: &Response, session: &mut Session, now: Timestamp) -> Result<(), Failure> {
        let body: Value = serde_json::from_slice(&response.body)
            .map_err(|_| Failure::system("the answer to the token request is not JSON"))?;
        let (token, refresh, expires) = {
            let cx = session.scope(now, None, &Value::Null);
            let find = |name: &Template| -> Result<Option<Value>, Failure> {
                Ok(find(&body, &name.render_text(&cx)?, 0).cloned())
            };
            (find(&self.names.access_token)?, find(&self.names.refresh_token)?, find(&self.names.expires_in)?)
        };
        let token = token.filter(crate::python::is_truthy).map(|token| crate::python::text_of(&token));
        let token = token.ok_or_else(|| Failure::system("the answer to the token request has no access token"))?;
        let expires = match expires {
            None => now + SignedDuration::from_hours(1),
            Some(value) => self.expiry(&value, now)?,
        };
        if let Some(updater) = &self.updater {
            let mut config = session.config.as_ref().clone();
            let text = format!("{}+00:00", point::iso(expires));
            for (path, value) in [
                (&updater.access_token, Some(token.clone().into())),
                (&updater.refresh_token, refresh),
                (&updater.expires, Some(text.into())),
            ] {
                if let Some(value) = value {
                    crate::lookup::put(&mut config, path, value).ok_or_else(|| {
                        Failure::config(format!("the configuration has no place for a token at '{}'", path.join(".")))
                    })?;
                }
            }
            session.config = std::sync::Arc::new(config.clone());
            session.notices.push(Notice::Config(config));
        }
        session.tokens.insert(self.id.clone(), Token { value: token, expires: Some(expires) });
        Ok(())
    }

    fn expiry(&self, value: &Value, now: Timestamp) -> Result<Timestamp, Failure> {
        let text = crate::python::text_of(value);
        let expires = if self.expires_is_moment {
            point::lenient(&text)
        } else {
            let seconds = text.trim().parse::<f64>().ok().filter(|seconds| seconds.abs() < 1e12);
            seconds.and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds as i64)).ok())
        };
        expires.ok_or_else(|| Failure::system("the answer to the token request does not say when the token expires"))
    }

    /// What a bad answer means.
    pub fn refuse(&self, response: &Response) -> Failure {
        let status = response.status;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        let said = body.get(&self.rejected.key).and_then(Value::as_str);
        if self.rejected.codes.contains(&i64::from(status))
            && said.is_some_and(|said| self.rejected.values.iter().any(|value| value == said))
        {
            return Failure::config(
                "the refresh token was rejected (invalid, expired or used already); authenticate again",
            );
        }
        Failure::system(format!("the token request was answered with status {status}"))
    }
}

impl Rejected {
    fn compile(node: &Node, updater: Option<&Node>, cx: &mut Compiler) -> Self {
        let mut read = |node: &Node| Self {
            codes: node
                .list("refresh_token_error_status_codes")
                .iter()
                .filter_map(|code| code.value.as_i64())
                .collect(),
            key: node.text("refresh_token_error_key", cx).unwrap_or_default().to_owned(),
            values: node.texts("refresh_token_error_values", cx),
        };
        let is_said =
            |rejected: &Self| !rejected.codes.is_empty() || !rejected.key.is_empty() || !rejected.values.is_empty();
        let own = read(node);
        let of_updater = updater.map(&mut read).filter(is_said);
        match (is_said(&own), of_updater) {
            (true, Some(_)) => {
                cx.report(
                    node,
                    "say what a rejected refresh token looks like here or in refresh_token_updater, not twice",
                );
                own
            }
            (true, None) => own,
            (false, Some(of_updater)) => of_updater,
            (false, None) => Self {
                codes: vec![400],
                key: "error".to_owned(),
                values: vec!["invalid_grant".to_owned(), "invalid_permissions".to_owned()],
            },
        }
    }
}

fn is_renewed(token: &Token) -> bool {
    token.value.is_empty()
}

fn find<'a>(value: &'a Value, name: &str, depth: usize) -> Option<&'a Value> {
    if depth > DEEPEST {
        return None;
    }
    match value {
        Value::Object(members) => members
            .get(name)
            .filter(|value| !value.is_null())
            .or_else(|| members.values().find_map(|value| find(value, name, depth + 1))),
        Value::Array(items) => items.iter().find_map(|value| find(value, name, depth + 1)),
        _ => None,
    }
}

fn fixed(node: &Node, text: &str, cx: &mut Compiler) -> Option<Template> {
    cx.check(node, Template::compile(text))
}

fn map(node: &Node, name: &str, cx: &mut Compiler) -> Option<TemplatedMap> {
    let empty = Map::new();
    let members = node.get(name);
    let members = members.as_ref().and_then(Node::object).unwrap_or(&empty);
    cx.check(node, TemplatedMap::compile(members, &node.parameters()))
}

fn path(node: &Node, name: &str, default: &str, cx: &mut Compiler) -> Vec<String> {
    match node.get(name) {
        Some(_) => node.texts(name, cx),
        None => vec!["credentials".to_owned(), default.to_owned()],
    }
}
