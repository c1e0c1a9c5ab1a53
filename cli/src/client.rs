//! The admin API as commands see it, whether it answers in this process or in another one.
//!
//! Always holds: a command can't tell the two apart. Every answer that is no success is a [`Refusal`] with
//! a stable code; the token is in a header and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use teal::domain::Secret;
use teal::pipeline::api::{AdminApi, ApiResponse};
use teal::pipeline::caller::{Caller, Role};

/// What stays readable in a path or a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The system said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} [{code}]")]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub detail: String,
}

pub enum Client {
    Here { api: Arc<dyn AdminApi>, caller: Caller },
    There { http: reqwest::Client, address: String, token: Secret },
}

impl Client {
    pub fn here(api: Arc<dyn AdminApi>) -> Self {
        let user = std::env::var("USER").or_else(|_| std::env::var("USERNAME")).unwrap_or_default();
        let subject = format!("cli {user}").trim_end().to_owned();
        Self::Here { api, caller: Caller::new(subject, [Role::Admin]) }
    }

    /// `address` as in `http://127.0.0.1:8080`.
    pub fn there(address: String, token: Secret) -> anyhow::Result<Self> {
        teal_local::upstream::install_tls();
        let settings = reqwest::Client::builder().timeout(Duration::from_secs(600));
        // To a process on this machine a proxy could only be in the way.
        let is_here = address.starts_with("http://127.0.0.1:") || address.starts_with("http://[::1]:");
        let http = if is_here { settings.no_proxy() } else { settings }.build()?;
        Ok(Self::There { http, address, token })
    }

    pub async fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Json> {
        self.call("GET", path, query, None).await
    }

    pub async fn post(&self, path: &[&str], body: &Json) -> anyhow::Result<Json> {
        self.call("POST", path, &[], Some(body)).await
    }

    async fn call(
        &self,
        method: &str,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Json>,
    ) -> anyhow::Result<Json> {
        let body = body.map(ToString::to_string).unwrap_or_default();
        match self {
            Self::Here { api, caller } => {
                let query = query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                let path = format!("/{}", path.join("/"));
                let ApiResponse { status, body, .. } = api.call(caller, method, &path, &query, body.into()).await;
                understand(status, &body)
            }
            Self::There { http, address, token } => {
                let url = url(address, path, query);
                let method = reqwest::Method::from_bytes(method.as_bytes())?;
                let unreachable = || format!("no answer from the Teal at {address}; is it still running?");
                let answer = http
                    .request(method, url)
                    .bearer_auth(token.expose())
                    .header("content-type", "application/json")
                    .body(body)
                    .send()
                    .await
                    .with_context(unreachable)?;
                let status = answer.status().as_u16();
                understand(status, &answer.bytes().await.with_context(unreachable)?)
            }
        }
    }
}

fn url(address: &str, path: &[&str], query: &[(&str, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
    let path: Vec<String> = path.iter().map(|part| encode(part)).collect();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{address}/admin/{}{mark}{}", path.join("/"), query.join("&"))
}

fn understand(status: u16, body: &[u8]) -> anyhow::Result<Json> {
    let json: Json = serde_json::from_slice(body)
        .map_err(|_| anyhow!("the answer (status {status}) is not one of Teal's; does something else listen there?"))?;
    if (200..300).contains(&status) {
        return Ok(json);
    }
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    Err(Refusal { status, code: text("code"), detail: text("detail") }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_values_survive_the_address() {
        let url = url("http://127.0.0.1:1", &["rejects", "raw/-/x#0 1"], &[("code", "a&b=c".to_owned())]);
        assert_eq!(url, "http://127.0.0.1:1/admin/rejects/raw%2F-%2Fx%230%201?code=a%26b%3Dc");
    }

    #[test]
    fn a_problem_is_a_refusal_and_what_is_not_teals_is_named() {
        let problem = br#"{"code":"TEAL-A008","detail":"there is no version v9"}"#;
        let error = understand(404, problem).unwrap_err();
        assert_eq!(error.to_string(), "there is no version v9 [TEAL-A008]");
        assert!(understand(200, b"<html>").unwrap_err().to_string().contains("something else"));
        assert_eq!(understand(202, b"{\"a\":1}").unwrap()["a"], 1);
    }
}
