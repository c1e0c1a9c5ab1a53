//! Turns a bearer token into a caller.
//!
//! Always holds: how long a comparison takes tells nothing about the token, and no token is ever shown.

use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::domain::Secret;
pub use crate::pipeline::caller::{Caller, Role};
use crate::ports::Secrets;

#[async_trait]
pub trait Callers: Send + Sync {
    /// `None` when the token is missing or is nobody's.
    async fn identify(&self, token: Option<&str>) -> Option<Caller>;
}

/// Tokens known from the start, such as those of a token file.
pub struct StaticTokens {
    /// Digests, so that all comparisons are of one length.
    known: Vec<([u8; 32], Caller)>,
}

impl StaticTokens {
    /// Empty tokens are left out: a missing setting must not let everybody in.
    #[must_use]
    pub fn new(tokens: impl IntoIterator<Item = (Secret, Caller)>) -> Self {
        let known = tokens
            .into_iter()
            .filter(|(token, _)| !token.expose().is_empty())
            .map(|(token, caller)| (Sha256::digest(token.expose()).into(), caller))
            .collect();
        Self { known }
    }

    /// Compares with all of them, whichever fits.
    fn find(&self, token: &str) -> Option<&Caller> {
        let given: [u8; 32] = Sha256::digest(token).into();
        let mut found = u64::MAX;
        for (index, (known, _)) in (0u64..).zip(&self.known) {
            found.conditional_assign(&index, known.ct_eq(&given));
        }
        usize::try_from(found).ok().and_then(|index| self.known.get(index)).map(|(_, caller)| caller)
    }
}

#[async_trait]
impl Callers for StaticTokens {
    async fn identify(&self, token: Option<&str>) -> Option<Caller> {
        self.find(token?).cloned()
    }
}

/// Tokens kept as secrets, one for readers and one for admins, looked up for each request: the port caches.
pub struct SecretTokens(pub Arc<dyn Secrets>);

/// Names of those secrets.
pub const TOKENS: [(&str, Role); 2] = [("teal-admin-token", Role::Admin), ("teal-reader-token", Role::Reader)];

#[async_trait]
impl Callers for SecretTokens {
    async fn identify(&self, token: Option<&str>) -> Option<Caller> {
        let token = token?;
        let mut known = Vec::new();
        for (name, role) in TOKENS {
            match self.0.get(name).await {
                Ok(secret) => known.extend(secret.map(|secret| (secret, Caller::new(name, [role])))),
                Err(fault) => tracing::error!(%fault, "a caller's token can't be looked up, so it lets nobody in"),
            }
        }
        StaticTokens::new(known).find(token).cloned()
    }
}

/// For hosts that nobody asks anything which needs a caller.
pub struct Nobody;

#[async_trait]
impl Callers for Nobody {
    async fn identify(&self, _: Option<&str>) -> Option<Caller> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::fakes::{FixedSecrets, Switch, ready};

    #[test]
    fn a_token_is_its_callers_and_no_other_is_anybodys() {
        let tokens = StaticTokens::new([
            (Secret::new("reads"), Caller::new("ada", [Role::Reader])),
            (Secret::new("rules"), Caller::new("bob", [Role::Admin])),
        ]);
        assert_eq!(tokens.find("reads").map(|c| c.subject.as_str()), Some("ada"));
        assert_eq!(tokens.find("rules").map(|c| c.subject.as_str()), Some("bob"));
        for wrong in ["", "read", "readss", "RULES", "reads\0"] {
            assert_eq!(tokens.find(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_empty_token_lets_nobody_in() {
        let tokens = StaticTokens::new([(Secret::new(""), Caller::new("nobody", [Role::Admin]))]);
        assert_eq!(tokens.find(""), None);
    }

    #[test]
    fn tokens_kept_as_secrets_let_in_whom_they_are_for_and_a_missing_one_nobody() {
        let tokens = SecretTokens(Arc::new(FixedSecrets {
            known: std::collections::BTreeMap::from([("teal-reader-token".to_owned(), "reads".to_owned())]).into(),
            down: Switch::default(),
        }));
        let who = |token| ready(tokens.identify(token)).map(|caller| caller.is(Role::Admin));
        assert_eq!(who(Some("reads")), Some(false));
        assert_eq!((who(Some("rules")), who(Some("")), who(None)), (None, None, None));
    }
}
