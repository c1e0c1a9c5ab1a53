//! The older kind of session token: one from the configuration if the source still takes it, else a login.

use crate::value::Value;
use teal::domain::Secret;
use teal::ports::upstream::{HeaderValue, Response};

use super::identity;
use crate::failure::Failure;
use crate::http::{self, Ask, Parts, Purpose};
use crate::interpolate::Template;
use crate::node::{Compiler, Node};
use crate::session::{Session, Token};

#[derive(Debug)]
pub struct Legacy {
    pub id: String,
    pub header: Template,
    base: Template,
    login: Template,
    validate: Template,
    key: Template,
    token: Option<Template>,
    username: Option<Template>,
    password: Option<Template>,
}

impl Legacy {
    pub fn compile(node: &Node, url_base: Option<&Node>, cx: &mut Compiler) -> Option<Self> {
        let base = url_base.and_then(|base| cx.template(base));
        Some(Self {
            id: identity(node, cx),
            header: node.require_template("header", cx)?,
            base: base?.with_parameters(&node.parameters()),
            login: node.require_template("login_url", cx)?,
            validate: node.require_template("validate_session_url", cx)?,
            key: node.require_template("session_token_response_key", cx)?,
            token: node.template("session_token", cx),
            username: node.template("username", cx),
            password: node.template("password", cx),
        })
    }

    /// The request that asks whether the configuration's token is still good; `None` when it has none.
    pub fn ask_whether_valid(&self, session: &Session, now: jiff::Timestamp) -> Result<Option<Ask>, Failure> {
        let cx = session.scope(now, None, &Value::Null);
        let Some(token) = configured(self.token.as_ref(), &cx)? else { return Ok(None) };
        let url = format!("{}{}", self.base.render_text(&cx)?, self.validate.render_text(&cx)?);
        let mut request = http::request(&::http::Method::GET, &url, Parts::default(), None, None)?;
        request.headers.push((self.header.render_text(&cx)?, HeaderValue::Secret(Secret::new(token))));
        Ok(Some(Ask { request, cache: false, raw: false, purpose: Purpose::Token }))
    }

    pub fn ask_for_one(&self, session: &Session, now: jiff::Timestamp) -> Result<Ask, Failure> {
        let cx = session.scope(now, None, &Value::Null);
        let (Some(username), Some(password)) =
            (configured(self.username.as_ref(), &cx)?, configured(self.password.as_ref(), &cx)?)
        else {
            return Err(Failure::config(
                "the session token is not valid; give a new one, or username and password, in the configuration",
            ));
        };
        let url = format!("{}{}", self.base.render_text(&cx)?, self.login.render_text(&cx)?);
        let mut parts = Parts::default();
        parts.json.insert("username".to_owned(), username.into());
        parts.json.insert("password".to_owned(), password.into());
        let request = http::request(&::http::Method::POST, &url, parts, None, None)?;
        Ok(Ask { request, cache: false, raw: false, purpose: Purpose::Token })
    }

    pub fn keep_configured(&self, session: &mut Session, now: jiff::Timestamp) -> Result<(), Failure> {
        let value = configured(self.token.as_ref(), &session.scope(now, None, &Value::Null))?.unwrap_or_default();
        session.tokens.insert(self.id.clone(), Token { value, expires: None });
        Ok(())
    }

    pub fn accept(&self, response: &Response, session: &mut Session, now: jiff::Timestamp) -> Result<(), Failure> {
        let key = self.key.render_text(&session.scope(now, None, &Value::Null))?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        if response.status >= 400 {
            return Err(Failure::system(format!("the login was answered with status {}", response.status)));
        }
        let value = body.get(&key).map(crate::python::text_of);
        let value = value.ok_or_else(|| Failure::system(format!("the answer to the login has no '{key}'")))?;
        session.tokens.insert(self.id.clone(), Token { value, expires: None });
        Ok(())
    }
}

fn configured(template: Option<&Template>, cx: &crate::interpolate::Context) -> Result<Option<String>, Failure> {
    let text = template.map(|template| template.render_text(cx)).transpose()?;
    Ok(text.filter(|text| !text.is_empty() && text != "None"))
}
