//! What each role of a port needs to be granted on AWS, and which roles a function's code asks for.
//!
//! The table from roles to actions is `teal_aws::actions`. Which roles a function has is read from its `main.rs` and from the
//! fields of the stages that it makes, so that a stage that asks for another role needs another grant, or a test
//! fails.

use std::collections::{BTreeMap, BTreeSet};

use teal_aws::actions;

use crate::root;

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    LedgerTable,
    EntitiesTable,
    Bucket,
    SecondBucket,
    Queues,
    OwnQueue,
    Secrets,
    Schedules,
}

pub type Grants = BTreeMap<Target, BTreeSet<&'static str>>;

/// A role that is not here needs nothing of AWS.
fn of_role(role: &str) -> Vec<(Target, &'static str)> {
    let grants: &[(Target, &[&str])] = match role {
        "LedgerReader" => &[(Target::LedgerTable, actions::LEDGER_READER)],
        "Ledger" => &[(Target::LedgerTable, actions::LEDGER)],
        "EntityReader" => &[(Target::EntitiesTable, actions::ENTITY_READER)],
        "EntityWriter" => &[(Target::EntitiesTable, actions::ENTITY_WRITER)],
        "EntityAdmin" => &[(Target::EntitiesTable, actions::ENTITY_ADMIN)],
        "BlobReader" => &[(Target::Bucket, actions::BLOB_READER)],
        "BlobWriter" => &[(Target::Bucket, actions::BLOB_WRITER)],
        "BlobAdmin" => &[(Target::Bucket, actions::BLOB_ADMIN)],
        "Elsewhere" => &[(Target::SecondBucket, actions::BLOB_READER)],
        // Whoever makes backups copies them to the second place, too.
        "BlobStore" => &[
            (Target::Bucket, actions::BLOB_READER),
            (Target::Bucket, actions::BLOB_WRITER),
            (Target::Bucket, actions::BLOB_ADMIN),
            (Target::SecondBucket, actions::BLOB_WRITER),
            (Target::SecondBucket, actions::BLOB_ADMIN),
        ],
        "QueueSender" => &[(Target::Queues, actions::QUEUE_SENDER)],
        // An object, then its message.
        "Intake" => &[(Target::Bucket, actions::BLOB_WRITER), (Target::Queues, actions::QUEUE_SENDER)],
        "Secrets" => &[(Target::Secrets, actions::SECRETS)],
        "Schedules" => &[(Target::Schedules, actions::SCHEDULES)],
        // The host's own: what people ask about queues, what an event source mapping needs, and what makes failed
        // messages come again earlier.
        "Depths" => &[(Target::Queues, &["sqs:GetQueueAttributes", "sqs:GetQueueUrl"])],
        "Rests" => &[(
            Target::OwnQueue,
            &["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        )],
        "Clock" | "Entropy" | "Upstream" | "Connectors" | "Meter" => &[],
        other => panic!("the role '{other}' is not in the table of grants"),
    };
    grants.iter().flat_map(|(target, actions)| actions.iter().map(|action| (*target, *action))).collect()
}

/// What a function has to be granted.
///
/// # Panics
/// When its code can't be read or asks for a role that is not in the table.
#[must_use]
pub fn needed(function: &str) -> Grants {
    let mut grants = Grants::new();
    for role in roles(function) {
        for (target, action) in of_role(&role) {
            grants.entry(target).or_default().insert(action);
        }
    }
    grants
}

/// The stages' structs and where they are.
const STAGES: [(&str, &str); 10] = [
    ("Webhook", "shared/src/pipeline/webhook/mod.rs"),
    ("Poll", "shared/src/pipeline/poll/mod.rs"),
    ("Transform", "shared/src/pipeline/transform/mod.rs"),
    ("Switch", "shared/src/pipeline/switch/mod.rs"),
    ("Serve", "shared/src/pipeline/serve/mod.rs"),
    ("Admin", "shared/src/pipeline/admin/mod.rs"),
    ("Console", "shared/src/pipeline/admin/console/mod.rs"),
    ("Upkeep", "shared/src/pipeline/upkeep/mod.rs"),
    ("Backups", "shared/src/pipeline/backup/mod.rs"),
    ("Shelf", "shared/src/pipeline/backup/shelf.rs"),
];
const SYSTEMS: (&str, &str) = ("Systems", "shared/src/pipeline/systems.rs");

fn roles(function: &str) -> BTreeSet<String> {
    let main = read(&format!("functions/{function}/src/main.rs"));
    let mut roles = BTreeSet::new();
    for (stage, file) in STAGES {
        if main.contains(&format!("{stage} {{")) || main.contains(&format!("function.{}(", stage.to_lowercase())) {
            roles.extend(fields(file, stage));
        }
    }
    let unconnected = main.contains("Systems::without_connectors(");
    if unconnected || main.contains("function.systems(") {
        let mut of_systems = fields(SYSTEMS.1, SYSTEMS.0);
        // With empty ones, it is given none.
        if unconnected || main.contains("EmptySecrets") {
            of_systems.remove("Secrets");
        }
        roles.extend(of_systems);
    }
    for (text, role) in [("SecretTokens(", "Secrets"), ("WithSchedules {", "Schedules"), ("function.rests(", "Rests")] {
        if main.contains(text) {
            roles.insert(role.to_owned());
        }
    }
    roles
}

/// The role traits in the fields of a struct.
fn fields(file: &str, name: &str) -> BTreeSet<String> {
    let code = read(file);
    let start = code.find(&format!("pub struct {name} {{")).unwrap_or_else(|| panic!("{file} has no struct {name}"));
    let body = &code[start..start + code[start..].find("\n}").expect("a struct ends")];
    let roles: BTreeSet<String> =
        body.split("Arc<dyn ").skip(1).filter_map(|rest| rest.split('>').next()).map(str::to_owned).collect();
    assert!(!roles.is_empty(), "{name} in {file} has no port; has its form changed?");
    roles
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_where_the_code_asks_for_them() {
        assert_eq!(roles("serve"), ["Clock", "EntityReader", "LedgerReader", "Secrets"].map(str::to_owned).into());
        assert!(roles("transform").contains("EntityWriter") && !roles("transform").contains("Secrets"));
        assert!(roles("webhook").contains("Secrets"), "it verifies deliveries");
        assert!(needed("upkeep")[&Target::Bucket].contains("s3:DeleteObject"));
        assert!(!needed("poll")[&Target::Bucket].contains("s3:DeleteObject"));
    }
}
