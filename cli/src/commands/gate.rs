//! `teal deliveries refused|explain|sign|token`: why nobody was let in, and how to get in.
//!
//! Always holds: secrets are looked up here, where the owner is, and are printed by `token` alone, and by `sign` for
//! senders whose secret is the header.

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value as Json, json};
use teal::config::{self, System, Verify, Webhook};
use teal::domain::Millis;
use teal::pipeline::webhook::quarantine::Quarantined;
use teal::ports::{Clock as _, Secrets as _};
use teal_gate::{Facts, Key, Lifetime, Request};
use teal_local::clock::SystemClock;
use teal_local::secrets::LocalSecrets;

use super::Context;
use crate::args::{ExplainArgs, SignArgs};
use crate::exit::Exit;
use crate::render;
use crate::session::Session;

pub async fn refused(cx: &Context, source: Option<String>, limit: usize) -> anyhow::Result<()> {
    let session = Session::look(&cx.place).await?;
    let mut query = vec![("limit", limit.to_string())];
    query.extend(source.map(|source| ("source", source)));
    let refused = session.client.get(&["refused"], &query).await?;
    cx.output.result(&refused, || render::gate::refused(&refused))
}

pub async fn token(cx: &Context, source: &str, wait: bool) -> anyhow::Result<()> {
    let session = Session::look(&cx.place).await?;
    let asked = if wait { "await" } else { "take" };
    let answer = session.client.post(&["candidates", asked], &json!({ "source": source })).await?;
    cx.output.result(&answer, || render::gate::token(&answer))
}

/// A request and when it came.
struct Captured {
    method: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    at: Millis,
}

pub async fn explain(cx: &Context, args: &ExplainArgs) -> anyhow::Result<Exit> {
    let (source, captured) = match (&args.id, &args.request, &args.source) {
        (Some(id), ..) => {
            let session = Session::look(&cx.place).await?;
            let kept: Quarantined = serde_json::from_value(session.client.get(&["refused", id], &[]).await?)?;
            let body = kept.whole().ok_or_else(|| {
                anyhow!(
                    "not all of the body was kept ({} bytes came), so nothing can be recomputed; it was refused \
                         because {}",
                    kept.length,
                    kept.reason
                )
            })?;
            let Quarantined { source, method, query, headers, received: at, .. } = kept;
            (source.name.to_string(), Captured { method, query, headers, body, at })
        }
        (None, Some(file), Some(source)) => {
            let bytes = std::fs::read(file).with_context(|| format!("can't read '{}'", file.display()))?;
            (source.clone(), captured(&bytes)?)
        }
        _ => bail!("give an id, or a captured request and its source"),
    };
    let system = system(cx)?;
    let verify = &hook(&system, &source)?.verify;
    let keys = keys(cx, verify, captured.at).await?;
    let Captured { method, query, headers, body, at } = &captured;
    let request = Request { method, query, headers, body };
    let explanation = verify.gate.explain(&request, &keys, &Facts::default(), at.0);
    let good = explanation.steps.iter().all(|step| step.good);
    cx.output.result(&json!(explanation), || render::gate::explanation(&explanation))?;
    Ok(if good { Exit::Complete } else { Exit::Error })
}

pub async fn sign(cx: &Context, args: &SignArgs) -> anyhow::Result<()> {
    let body = std::fs::read(&args.body).with_context(|| format!("can't read '{}'", args.body.display()))?;
    let system = system(cx)?;
    let hook = hook(&system, &args.source)?;
    let cant = || anyhow!("only the sender of '{}' can sign for it", args.source);
    if !hook.verify.gate.has_secret() {
        return Err(cant());
    }
    let now = SystemClock.now();
    let key = hook.verify.keys.iter().find(|key| key.lifetime.holds(now.0));
    let name = &key.ok_or_else(|| anyhow!("no secret of '{}' is valid now", args.source))?.secret.0;
    let secret = LocalSecrets::new(cx.place.data.join("secrets")).get(name).await?;
    let secret = secret.ok_or_else(|| anyhow!("there is no secret '{name}' here"))?;
    let signed = hook.verify.gate.sign(&body, secret.expose(), &args.id, now.0);
    let signed = signed.ok_or_else(cant)?;
    let in_address = hook.verify.gate.secret_places().1.is_some();
    let shown: Json = signed.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect();
    cx.output.result(&shown, || render::gate::curl(&hook.path, &args.body, &signed, in_address))
}

fn system(cx: &Context) -> anyhow::Result<System> {
    config::load(&cx.place.bundle()?).with_context(|| format!("'{}' is wrong", cx.place.file.display()))
}

fn hook<'a>(system: &'a System, source: &str) -> anyhow::Result<&'a Webhook> {
    let found = system.sources.values().find(|known| known.name.as_str() == source);
    let found = found.ok_or_else(|| anyhow!("there is no source '{source}'"))?;
    found.webhook.as_ref().ok_or_else(|| anyhow!("the source '{source}' has no webhook"))
}

/// Those that are here and fit. What does not is said, and is often the very reason.
async fn keys(cx: &Context, verify: &Verify, at: Millis) -> anyhow::Result<Vec<Key>> {
    let secrets = LocalSecrets::new(cx.place.data.join("secrets"));
    let mut keys = Vec::new();
    for named in &verify.keys {
        let name = &named.secret.0;
        match secrets.get(name).await? {
            None => cx.output.remark(&format!("there is no secret '{name}' here")),
            Some(secret) => match verify.gate.key(secret.expose(), Lifetime { ..named.lifetime }) {
                Ok(key) => keys.push(key),
                Err(error) => cx.output.remark(&format!("the secret '{name}' is no key: {error}")),
            },
        }
        if !named.lifetime.holds(at.0) {
            cx.output.remark(&format!("the secret '{name}' was not valid when the request came"));
        }
    }
    Ok(keys)
}

/// What `curl -v` and proxies print, or what one writes by hand. Line ends are as in HTTP or as in a text file; the
/// body is everything after the first empty line.
fn captured(bytes: &[u8]) -> anyhow::Result<Captured> {
    let at = |end: &[u8]| bytes.windows(end.len()).position(|at| at == end).map(|at| (at, at + end.len()));
    let ends = [at(b"\r\n\r\n"), at(b"\n\n")];
    let (end, begin) = ends.into_iter().flatten().min().unwrap_or((bytes.len(), bytes.len()));
    let head = std::str::from_utf8(&bytes[..end]).context("the headers are no text")?;
    let mut lines = head.lines();
    let mut line = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (line.next(), line.next().filter(|target| target.contains('/'))) else {
        bail!("the file does not begin with a request line such as 'POST /hooks/a HTTP/1.1'");
    };
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let headers: Option<Vec<_>> = lines
        .map(|line| line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())))
        .collect();
    Ok(Captured {
        method: method.to_owned(),
        query: query.to_owned(),
        headers: headers.context("a line before the empty one is no header")?,
        body: bytes[begin..].to_vec(),
        at: SystemClock.now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_request_is_read_with_either_line_end_and_its_body_byte_for_byte() {
        for text in
            ["POST /hooks/a?x=1 HTTP/1.1\r\nA: 1\r\nb:2\r\n\r\n{}\n\n", "POST /hooks/a?x=1\nA: 1\nb:2\n\n{}\n\n"]
        {
            let read = captured(text.as_bytes()).unwrap();
            assert_eq!((read.method.as_str(), read.query.as_str()), ("POST", "x=1"));
            assert_eq!(read.headers, [("A".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
            assert_eq!(read.body, b"{}\n\n");
        }
        assert!(captured(b"").is_err());
        assert!(captured(b"POST /a\nno header\n\n").is_err());
    }
}
