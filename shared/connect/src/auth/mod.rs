//! Authenticators: what proves to a source who asks.
//!
//! Always holds: a token is asked for once, however many readers need it, and lives in the session only: no
//! position and no message holds one.

pub mod jwt;
pub mod legacy;
pub mod many;
pub mod oauth;
pub mod session_token;
mod token_run;

use std::sync::Arc;

use crate::value::Value;
use base64::Engine;
use jiff::Timestamp;

pub use token_run::TokenRun;

use crate::failure::Failure;
use crate::http::Parts;
use crate::interpolate::Template;
use crate::node::{Compiler, Node};
use crate::options::{Into, RequestOption};
use crate::session::Session;

#[derive(Clone, Debug)]
pub enum Auth {
    None,
    ApiKey { token: Template, option: RequestOption },
    Basic { username: Template, password: Option<Template> },
    Bearer { token: Template },
    Jwt(Arc<jwt::Jwt>),
    OAuth(Arc<oauth::OAuth>),
    Session(Arc<session_token::SessionToken>),
    Legacy(Arc<legacy::Legacy>),
    Many(Arc<many::ManyTokens>),
}

impl Auth {
    pub fn compile(node: &Node, name: &str, url_base: Option<&Node>, cx: &mut Compiler) -> Option<Self> {
        Some(match node.kind() {
            "NoAuth" => Self::None,
            "ApiKeyAuthenticator" => {
                let token = node.template("api_token", cx).map_or_else(|| empty(node, cx), Some)?;
                let option = match (node.get("inject_into"), node.template("header", cx)) {
                    (Some(option), None) => RequestOption::compile(&with_parameters(&option, node).borrow(), cx)?,
                    (None, Some(header)) => RequestOption::header(header),
                    (Some(_), Some(_)) => {
                        cx.report(node, "give either 'inject_into' or 'header', not both");
                        return None;
                    }
                    (None, None) => {
                        cx.report(node, "ApiKeyAuthenticator needs 'inject_into'");
                        return None;
                    }
                };
                Self::ApiKey { token, option }
            }
            "BasicHttpAuthenticator" => Self::Basic {
                username: node.require_template("username", cx)?,
                password: node.template("password", cx),
            },
            "BearerAuthenticator" => Self::Bearer { token: node.require_template("api_token", cx)? },
            "JwtAuthenticator" => Self::Jwt(Arc::new(jwt::Jwt::compile(node, cx)?)),
            "OAuthAuthenticator" => Self::OAuth(Arc::new(oauth::OAuth::compile(node, cx)?)),
            "SessionTokenAuthenticator" => {
                Self::Session(Arc::new(session_token::SessionToken::compile(node, name, cx)?))
            }
            "LegacySessionTokenAuthenticator" => Self::Legacy(Arc::new(legacy::Legacy::compile(node, url_base, cx)?)),
            "RateLimitedMultipleTokenAuthenticator" => Self::Many(Arc::new(many::ManyTokens::compile(node, cx)?)),
            "SelectiveAuthenticator" => return Self::select(node, name, url_base, cx),
            _ => {
                cx.unknown(node, "authenticator");
                return None;
            }
        })
    }

    fn select(node: &Node, name: &str, url_base: Option<&Node>, cx: &mut Compiler) -> Option<Self> {
        let path = node.texts("authenticator_selection_path", cx);
        let choices = node.require("authenticators", cx)?;
        let Some(chosen) = crate::lookup::get(cx.config, &path).map(crate::python::text_of) else {
            let path = path.join(".");
            cx.report_config(
                node,
                format_args!("the configuration has nothing at '{path}', which chooses how to authenticate"),
            );
            return None;
        };
        let Some(choice) = choices.get(&chosen) else {
            let known: Vec<&str> = choices.members().into_iter().map(|(name, _)| name).collect();
            let known = known.join(", ");
            cx.report_config(
                node,
                format_args!("there is no authenticator for what the configuration chooses; known: {known}"),
            );
            return None;
        };
        Self::compile(&choice, name, url_base, cx)
    }

    /// What must be asked for before a request can be made. `fetched`: this request has just fetched one.
    pub fn run(&self, session: &mut Session, now: Timestamp, fetched: bool) -> Result<Need, Failure> {
        let id = match self {
            Self::OAuth(auth) if !auth.is_fresh(session, now)? => &auth.id,
            Self::Session(auth) if !auth.is_fresh(session, now, fetched) => &auth.id,
            Self::Legacy(auth) if !session.tokens.contains_key(&auth.id) => &auth.id,
            Self::Many(auth) if auth.needs_quotas(session) => &auth.id,
            Self::Many(auth) => return Ok(auth.wait(session, now)?.map_or(Need::Nothing, Need::Wait)),
            _ => return Ok(Need::Nothing),
        };
        if !session.fetching.insert(id.clone()) {
            return Ok(Need::Blocked);
        }
        Ok(Need::Token(Box::new(TokenRun::new(self))))
    }

    /// Whether it has to ask for something, or depends on the time of the request.
    pub fn asks(&self) -> bool {
        !matches!(self, Self::None | Self::ApiKey { .. } | Self::Basic { .. } | Self::Bearer { .. })
    }

    /// Makes sure that the next request gets a new token; `false` when this kind has none to renew.
    pub fn renew(&self, session: &mut Session) -> bool {
        match self {
            Self::OAuth(auth) => auth.expire(session),
            _ => false,
        }
    }

    /// What it adds to a request.
    pub fn parts(&self, session: &Session, now: Timestamp) -> Result<Parts, Failure> {
        let mut parts = Parts::default();
        let cx = session.scope(now, None, &Value::Null);
        let mut authorization = |text: String| parts.headers.insert("Authorization".to_owned(), text.into());
        match self {
            Self::None => {}
            Self::ApiKey { token, option } => option.inject(token.render_text(&cx)?.into(), &mut parts, &cx)?,
            Self::Bearer { token } => drop(authorization(format!("Bearer {}", token.render_text(&cx)?))),
            Self::Basic { username, password } => {
                let password = password.as_ref().map_or(Ok(String::new()), |password| password.render_text(&cx))?;
                let pair = format!("{}:{password}", username.render_text(&cx)?);
                let pair = base64::engine::general_purpose::STANDARD.encode(pair);
                authorization(format!("Basic {pair}"));
            }
            Self::Jwt(jwt) => jwt.option.inject(jwt.token(&cx, now)?.into(), &mut parts, &cx)?,
            Self::OAuth(auth) => drop(authorization(format!("Bearer {}", auth.token(session)?))),
            Self::Session(auth) => auth.inject(session, &mut parts, &cx)?,
            Self::Legacy(auth) => {
                let token = session.tokens.get(&auth.id).map(|token| token.value.clone()).unwrap_or_default();
                parts.headers.insert(auth.header.render_text(&cx)?, token.into());
            }
            Self::Many(auth) => auth.inject(session, &mut parts),
        }
        Ok(parts)
    }

    /// The header that carries the secret, if one does.
    pub fn header(&self, session: &Session, now: Timestamp) -> Result<Option<String>, Failure> {
        let cx = session.scope(now, None, &Value::Null);
        Ok(match self {
            Self::None => None,
            Self::ApiKey { option, .. } => (option.into == Into::Header).then(|| option.name(&cx)).transpose()?,
            Self::Jwt(jwt) => (jwt.option.into == Into::Header).then(|| jwt.option.name(&cx)).transpose()?,
            Self::Session(auth) => auth.header(&cx)?,
            Self::Legacy(auth) => Some(auth.header.render_text(&cx)?),
            Self::Many(auth) => Some(auth.header.clone()),
            Self::Basic { .. } | Self::Bearer { .. } | Self::OAuth(_) => Some("Authorization".to_owned()),
        })
    }
}

/// What stands between a request and its authentication.
pub enum Need {
    Nothing,
    Token(Box<TokenRun>),
    /// Somebody else is fetching it.
    Blocked,
    Wait(std::time::Duration),
}

fn empty(node: &Node, cx: &mut Compiler) -> Option<Template> {
    cx.check(node, Template::compile(""))
}

/// A component below another whose parameters its templates see.
struct Borrowed {
    value: Value,
    at: String,
}

impl Borrowed {
    fn borrow(&self) -> Node<'_> {
        Node::new(&self.value, &self.at)
    }
}

fn with_parameters(node: &Node, owner: &Node) -> Borrowed {
    let mut value = node.value.clone();
    if let Some(members) = value.as_object_mut() {
        members.insert("$parameters".to_owned(), owner.parameters().as_ref().clone());
    }
    Borrowed { value, at: node.at.clone() }
}

/// A name for what a component, under this configuration, fetches.
pub fn identity(node: &Node, cx: &Compiler) -> String {
    use sha2::Digest;
    let text = format!("{}\n{}", node.value, cx.config);
    let hash = sha2::Sha256::digest(text.as_bytes());
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(&hash[..18])
}
