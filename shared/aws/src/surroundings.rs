//! Where a function is and who it is, by the variables that Lambda gives it.
//!
//! Owns region, credentials, and addresses of services that were set by hand (`AWS_ENDPOINT_URL`, and with a service's
//! name behind it). What else an SDK can look through (profiles, the metadata of machines, other roles) is not in a
//! function, and its code is not either.

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

pub(crate) fn region() -> Option<Region> {
    variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")).map(Region::new)
}

/// What is empty is not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[derive(Debug)]
pub(crate) struct Surroundings;

impl ProvideCredentials for Surroundings {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                Ok(Credentials::new(id, secret, variable("AWS_SESSION_TOKEN"), None, "environment"))
            }
            _ => Err(CredentialsError::not_loaded("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")),
        })
    }
}

impl LoadServiceConfig for Surroundings {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        variable(&own(key.env(), key.service_id())).or_else(|| variable(key.env()))
    }
}

/// The variable of one service.
fn own(variable: &str, service: &str) -> String {
    format!("{variable}_{}", service.to_ascii_uppercase().replace([' ', '-'], "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_a_variable_of_its_own() {
        assert_eq!(own("AWS_ENDPOINT_URL", "DynamoDB"), "AWS_ENDPOINT_URL_DYNAMODB");
        assert_eq!(own("AWS_ENDPOINT_URL", "Secrets Manager"), "AWS_ENDPOINT_URL_SECRETS_MANAGER");
    }
}
