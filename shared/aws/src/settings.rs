//! What a function must be told about its surroundings: which table, which bucket, which queues.
//!
//! Owns the names of the environment variables, which template.yaml sets, and what each is for. Reads nothing
//! itself: whoever has an environment hands it in. A function that needs no table is not asked for one: what is
//! missing is an error when it is asked for, and not before.
//!
//! ```text
//! TEAL_SYSTEM            name of the system; first part of every key in the tables
//! TEAL_LEDGER_TABLE      DynamoDB table of the ledger; its keys are in `dynamodb::tables`
//! TEAL_ENTITIES_TABLE    DynamoDB table of the entities; the same keys
//! TEAL_BUCKET            S3 bucket of raw objects, configurations and backups
//! TEAL_QUEUE_POLL        URL of the SQS queue of the poll stage
//! TEAL_QUEUE_TRANSFORM   URL of the SQS queue of the transform stage
//! TEAL_QUEUE_SWITCH      URL of the SQS queue of the switch stage
//! TEAL_SECRETS_PREFIX    put before every secret's name; `ssm:/…` for parameters, anything else, also nothing,
//!                        for Secrets Manager. Not needed.
//! TEAL_SCHEDULE_GROUP    EventBridge Scheduler group of the system's schedules
//! TEAL_SCHEDULE_TARGET   ARN of the poll function, which schedules invoke
//! TEAL_SCHEDULE_ROLE     ARN of the role that lets the scheduler invoke it
//! ```

use std::collections::BTreeMap;

use teal::domain::QueueName;

pub const SYSTEM: &str = "TEAL_SYSTEM";
pub const LEDGER_TABLE: &str = "TEAL_LEDGER_TABLE";
pub const ENTITIES_TABLE: &str = "TEAL_ENTITIES_TABLE";
pub const BUCKET: &str = "TEAL_BUCKET";
pub const SECRETS_PREFIX: &str = "TEAL_SECRETS_PREFIX";
pub const SCHEDULE_GROUP: &str = "TEAL_SCHEDULE_GROUP";
pub const SCHEDULE_TARGET: &str = "TEAL_SCHEDULE_TARGET";
pub const SCHEDULE_ROLE: &str = "TEAL_SCHEDULE_ROLE";

/// The variable that holds the URL of a stage's queue.
#[must_use]
pub fn queue(name: QueueName) -> &'static str {
    match name {
        QueueName::Poll => "TEAL_QUEUE_POLL",
        QueueName::Transform => "TEAL_QUEUE_TRANSFORM",
        QueueName::Switch => "TEAL_QUEUE_SWITCH",
    }
}

const ALL: [&str; 8] =
    [SYSTEM, LEDGER_TABLE, ENTITIES_TABLE, BUCKET, SECRETS_PREFIX, SCHEDULE_GROUP, SCHEDULE_TARGET, SCHEDULE_ROLE];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, String>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {0} is not set; template.yaml sets it for every function that needs it")]
pub struct MissingSetting(&'static str);

impl Settings {
    /// Takes what `look_up` knows, such as `|name| std::env::var(name).ok()`. What is empty is not set.
    pub fn read(look_up: impl Fn(&str) -> Option<String>) -> Self {
        let names = ALL.into_iter().chain(QueueName::ALL.map(queue));
        Self(names.filter_map(|name| Some((name, look_up(name).filter(|value| !value.is_empty())?))).collect())
    }

    pub fn system(&self) -> Result<&str, MissingSetting> {
        self.get(SYSTEM)
    }

    pub fn ledger_table(&self) -> Result<&str, MissingSetting> {
        self.get(LEDGER_TABLE)
    }

    pub fn entities_table(&self) -> Result<&str, MissingSetting> {
        self.get(ENTITIES_TABLE)
    }

    pub fn bucket(&self) -> Result<&str, MissingSetting> {
        self.get(BUCKET)
    }

    /// The URLs of these queues.
    pub fn queues(&self, names: &[QueueName]) -> Result<BTreeMap<QueueName, String>, MissingSetting> {
        names.iter().map(|name| Ok((*name, self.get(queue(*name))?.to_owned()))).collect()
    }

    #[must_use]
    pub fn secrets_prefix(&self) -> &str {
        self.get(SECRETS_PREFIX).unwrap_or_default()
    }

    pub fn schedule_group(&self) -> Result<&str, MissingSetting> {
        self.get(SCHEDULE_GROUP)
    }

    pub fn schedule_target(&self) -> Result<&str, MissingSetting> {
        self.get(SCHEDULE_TARGET)
    }

    pub fn schedule_role(&self) -> Result<&str, MissingSetting> {
        self.get(SCHEDULE_ROLE)
    }

    fn get(&self, name: &'static str) -> Result<&str, MissingSetting> {
        self.0.get(name).map(String::as_str).ok_or(MissingSetting(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_when_it_is_asked_for() {
        let settings = Settings::read(|name| match name {
            BUCKET => Some("raw".to_owned()),
            SYSTEM => Some(String::new()),
            "TEAL_QUEUE_SWITCH" => Some("https://sqs/switch".to_owned()),
            _ => None,
        });
        assert_eq!(settings.bucket().unwrap(), "raw");
        assert_eq!(settings.queues(&[QueueName::Switch]).unwrap()[&QueueName::Switch], "https://sqs/switch");
        assert_eq!(settings.secrets_prefix(), "");
        assert!(settings.system().unwrap_err().to_string().contains("TEAL_SYSTEM"), "empty is not set");
        assert_eq!(settings.queues(&QueueName::ALL), Err(MissingSetting("TEAL_QUEUE_POLL")));
    }
}
