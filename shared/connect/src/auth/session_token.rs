//! A token that a login request gives, for some time.

use std::sync::Arc;

use crate::value::Value;
use jiff::Timestamp;

use super::identity;
use crate::datetime::IsoDuration;
use crate::decode::Decoder;
use crate::failure::{Failure, filter::Action};
use crate::http::{Parts, Purpose};
use crate::interpolate::{Context, Template};
use crate::node::{Compiler, Node};
use crate::options::{Into, RequestOption};
use crate::requester::Requester;
use crate::session::{Session, Token};

#[derive(Debug)]
pub struct SessionToken {
    pub id: String,
    pub login: Arc<Requester>,
    decoder: Decoder,
    path: Vec<String>,
    /// Without it, every request logs in again.
    lasts: Option<IsoDuration>,
    how: How,
}

#[derive(Debug)]
enum How {
    Bearer,
    Key { token: Option<Template>, option: RequestOption },
}

impl SessionToken {
    pub fn compile(node: &Node, name: &str, cx: &mut Compiler) -> Option<Self> {
        let login = node.require("login_requester", cx)?;
        let mut login_requester = Requester::compile(&login, &format!("{name}_login_requester"), cx)?;
        login_requester.purpose = Purpose::Token;
        for action in [Action::ReducePageSize, Action::SplitWindow] {
            if login_requester.handler.uses(action) {
                cx.report(&login, "a login can't ask for smaller pages or windows; use another action");
            }
        }
        let request = node.require("request_authentication", cx)?;
        let how = match request.kind() {
            "Bearer" => How::Bearer,
            "ApiKey" => How::Key {
                token: request.template("api_token", cx),
                option: RequestOption::compile(&request.require("inject_into", cx)?, cx)?,
            },
            other => {
                let text = format!("'{other}' is no way to use a session token; write Bearer or ApiKey");
                cx.report(&request, text);
                return None;
            }
        };
        let lasts = match node.text("expiration_duration", cx) {
            Some(text) => Some(cx.check(node, IsoDuration::parse(text))?),
            None => None,
        };
        let decoder = node.get("decoder").map(|decoder| cx.check(&decoder, Decoder::compile(Some(decoder.value))));
        Some(Self {
            id: identity(node, cx),
            login: Arc::new(login_requester),
            decoder: decoder.unwrap_or(Some(Decoder::Json))?,
            path: node.texts("session_token_path", cx),
            lasts,
            how,
        })
    }

    pub fn is_fresh(&self, session: &Session, now: Timestamp, fetched: bool) -> bool {
        session.tokens.get(&self.id).is_some_and(|token| match token.expires {
            Some(expires) => expires >= now,
            None => fetched,
        })
    }

    /// Takes the token out of the answer to the login.
    pub fn accept(
        &self,
        response: &teal::ports::upstream::Response,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let headers = crate::http::header_map(response);
        let body = self.decoder.decode(&response.body, &headers)?.next().transpose()?.unwrap_or(Value::Null);
        let token = crate::lookup::get(&body, &self.path).map(crate::python::text_of).ok_or_else(|| {
            Failure::system(format!("the answer to the login has nothing at '{}'", self.path.join(".")))
        })?;
        let expires = match &self.lasts {
            Some(lasts) => Some(crate::cursor::point::after(now, lasts)?),
            None => None,
        };
        session.tokens.insert(self.id.clone(), Token { value: token, expires });
        Ok(())
    }

    pub fn inject(&self, session: &Session, parts: &mut Parts, cx: &Context) -> Result<(), Failure> {
        let token = session.tokens.get(&self.id).map(|token| token.value.clone()).unwrap_or_default();
        match &self.how {
            How::Bearer => {
                parts.headers.insert("Authorization".to_owned(), format!("Bearer {token}").into());
                Ok(())
            }
            How::Key { token: template, option } => {
                let token = Value::String(token);
                let text = match template {
                    Some(template) => template.render_text(&cx.clone().with("session_token", &token))?,
                    None => crate::python::text_of(&token),
                };
                option.inject(text.into(), parts, cx)
            }
        }
    }

    pub fn header(&self, cx: &Context) -> Result<Option<String>, Failure> {
        match &self.how {
            How::Bearer => Ok(Some("Authorization".to_owned())),
            How::Key { option, .. } => (option.into == Into::Header).then(|| option.name(cx)).transpose(),
        }
    }
}
