//! Secrets from Secrets Manager and from SSM's parameters.
//!
//! A name is taken as it is where it has a colon (`ssm:/nowrep/blue-api-key`, an ARN); any other gets the prefix of
//! the settings before it. What then starts with `ssm:` is a parameter, everything else a secret.
//!
//! Always holds: what was found is kept for five minutes and asked for again after that; what was not found is asked
//! for each time. A value leaves only as a [`Secret`], which does not show itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use teal::domain::{Millis, Secret};
use teal::ports::{Fault, Secrets};

use crate::AwsClients;
use crate::fault::{fault, permanent};

const LIFETIME: Duration = Duration::from_secs(300);
const PARAMETER: &str = "ssm:";

pub struct AwsSecrets {
    clients: Arc<AwsClients>,
    prefix: String,
    kept: Mutex<BTreeMap<String, (Secret, Millis)>>,
}

impl AwsSecrets {
    pub fn new(clients: Arc<AwsClients>, prefix: impl Into<String>) -> Self {
        Self { clients, prefix: prefix.into(), kept: Mutex::default() }
    }

    fn kept(&self, name: &str) -> Option<Secret> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (secret, found) = kept.get(name)?;
        // A clock that was set back makes nothing younger.
        let age = self.clients.clock.now().0.abs_diff(found.0);
        (u128::from(age) < LIFETIME.as_millis()).then(|| secret.clone())
    }

    async fn parameter(&self, name: &str) -> Result<Option<Secret>, Fault> {
        match self.clients.ssm().get_parameter().name(name).with_decryption(true).send().await {
            Ok(found) => Ok(found.parameter.and_then(|parameter| parameter.value).map(Secret::new)),
            Err(error) if matches!(error.as_service_error(), Some(GetParameterError::ParameterNotFound(_))) => Ok(None),
            Err(error) => Err(fault(error, "ssm:GetParameter", &format!("parameter '{name}'"))),
        }
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Fault> {
        let missing = |error: &GetSecretValueError| matches!(error, GetSecretValueError::ResourceNotFoundException(_));
        match self.clients.secrets_manager().get_secret_value().secret_id(name).send().await {
            Ok(found) => match found.secret_string {
                Some(text) => Ok(Some(Secret::new(text))),
                None => Err(permanent(format!("secret '{name}' holds bytes; store it as text"))),
            },
            Err(error) if error.as_service_error().is_some_and(missing) => Ok(None),
            Err(error) => Err(fault(error, "secretsmanager:GetSecretValue", &format!("secret '{name}'"))),
        }
    }
}

#[async_trait]
impl Secrets for AwsSecrets {
    async fn get(&self, name: &str) -> Result<Option<Secret>, Fault> {
        if let Some(secret) = self.kept(name) {
            return Ok(Some(secret));
        }
        let full = if name.contains(':') { name.to_owned() } else { format!("{}{name}", self.prefix) };
        let found = match full.strip_prefix(PARAMETER) {
            Some(parameter) => self.parameter(parameter).await?,
            None => self.secret(&full).await?,
        };
        if let Some(secret) = &found {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(name.to_owned(), (secret.clone(), self.clients.clock.now()));
        }
        Ok(found)
    }
}
