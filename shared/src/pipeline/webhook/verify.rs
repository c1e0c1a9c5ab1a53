//! Trust as a type: a request becomes a `Delivery<Unverified>`, and only `verify` makes it a
//! `Delivery<Verified>`, which is what can be stored and queued.
//!
//! Owns the schemes. Another one is a variant of `config::Verify` and a function here.
//!
//! Always holds: a refusal has no reason, so that nobody learns which part was wrong; how long a
//! comparison takes says nothing about the secret.

use std::marker::PhantomData;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::no_secret;
use crate::config::{SecretName, Verify};
use crate::domain::{Secret, SourceId};
use crate::pipeline::api::{Code, Problem};
use crate::ports::Secrets;

pub struct Unverified(());
pub struct Verified(());

/// One request to a webhook. Its `State` says whether its sender is known to be the source.
pub struct Delivery<State> {
    source: SourceId,
    headers: Vec<(String, String)>,
    body: Bytes,
    state: PhantomData<State>,
}

impl Delivery<Unverified> {
    pub(super) fn new(source: SourceId, headers: Vec<(String, String)>, body: Bytes) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Self { source, headers, body, state: PhantomData }
    }
}

impl Delivery<Verified> {
    pub(super) fn source(&self) -> &SourceId {
        &self.source
    }

    /// Names in lower case.
    pub(super) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }
}

/// The headers that a scheme's secrets travel in; they are stored nowhere.
pub(super) fn secret_header(how: &Verify) -> &str {
    match how {
        Verify::SharedSecret { header, .. } => header,
    }
}

pub(super) async fn verify(
    delivery: Delivery<Unverified>,
    how: &Verify,
    secrets: &dyn Secrets,
) -> Result<Delivery<Verified>, Problem> {
    let genuine = match how {
        Verify::SharedSecret { header, secret } => {
            let secret = known_secret(&delivery.source, secret, secrets).await?;
            has_shared_secret(&delivery, header, &secret)
        }
    };
    if !genuine {
        return Err(Problem::new(Code::Unverified, "the delivery does not prove where it comes from"));
    }
    let Delivery { source, headers, body, .. } = delivery;
    Ok(Delivery { source, headers, body, state: PhantomData })
}

/// An empty secret counts as missing: every empty header would match it.
async fn known_secret(source: &SourceId, name: &SecretName, secrets: &dyn Secrets) -> Result<Secret, Problem> {
    match secrets.get(&name.0).await {
        Ok(Some(secret)) if !secret.expose().is_empty() => Ok(secret),
        Ok(_) => Err(no_secret(source, None, &name.0)),
        Err(fault) => Err(no_secret(source, Some(&fault), &name.0)),
    }
}

/// A header that came twice proves nothing: proxies differ in which one they look at.
fn has_shared_secret(delivery: &Delivery<Unverified>, header: &str, secret: &Secret) -> bool {
    let mut given = delivery.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(header));
    match (given.next(), given.next()) {
        (Some((_, given)), None) => Sha256::digest(given).ct_eq(&Sha256::digest(secret.expose())).into(),
        _ => false,
    }
}
