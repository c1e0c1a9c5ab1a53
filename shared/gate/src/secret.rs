//! Secrets that travel with the request, in a header or in its address. They prove who calls, not what is said.

use crate::key::{Key, Material};
use crate::refusal::Refusal;
use crate::request::{Facts, Request};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedSecret {
    Header {
        name: String,
        /// Such as `Bearer `; what follows is the secret.
        prefix: String,
    },
    /// A parameter of the address, for senders that can do nothing else.
    Parameter(String),
    /// Google's channels: the token, and the channel that it was given for.
    Channel,
}

pub(crate) const TOKEN: &str = "x-goog-channel-token";

impl SharedSecret {
    /// Where the secret is, for the owner, and for whoever stores no secrets.
    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Channel => Some(TOKEN),
            Self::Parameter(_) => None,
        }
    }

    pub(crate) fn verify(&self, request: &Request<'_>, facts: &Facts<'_>, keys: &[&Key]) -> Result<(), Refusal> {
        let is =
            |given: &str| keys.iter().any(|key| matches!(&key.material, Material::Compare(secret) if secret.is(given)));
        let differs = Err(Refusal::Differs { what: "the secret" });
        match self {
            Self::Header { name, prefix } => {
                let missing = || Refusal::Missing { what: format!("the header {name}") };
                let value = request.header(name)?.ok_or_else(missing)?;
                match value.strip_prefix(prefix.as_str()) {
                    Some(given) if is(given) => Ok(()),
                    _ => differs,
                }
            }
            Self::Parameter(name) => {
                let missing = || Refusal::Missing { what: format!("the parameter {name} of the address") };
                if is(&request.parameter(name).ok_or_else(missing)?) { Ok(()) } else { differs }
            }
            Self::Channel => {
                let header = |name: &str| {
                    request.header(name)?.ok_or_else(|| Refusal::Missing { what: format!("the header {name}") })
                };
                if !is(header(TOKEN)?) {
                    return differs;
                }
                let (id, resource) = (header("x-goog-channel-id")?, header("x-goog-resource-id")?);
                let opened = facts.channels.is_none_or(|channels| {
                    channels.iter().any(|channel| {
                        channel.id == id && channel.resource.as_deref().is_none_or(|known| known == resource)
                    })
                });
                if opened { Ok(()) } else { Err(Refusal::Channel) }
            }
        }
    }
}
