//! The IAM actions that each role of a port needs: what template.yaml has to grant, and no more.
//!
//! Transactions have no action of their own: each write in one is allowed or denied as what it is. Reading objects
//! needs `s3:ListBucket` too, or what is missing would look forbidden.

pub const ENTITY_READER: &[&str] = &["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"];
/// A merge reads entries by key before it writes.
pub const ENTITY_WRITER: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
];
pub const ENTITY_ADMIN: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
];
pub const LEDGER_READER: &[&str] = &["dynamodb:GetItem", "dynamodb:Query"];
pub const LEDGER: &[&str] = &[
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
];
pub const BLOB_READER: &[&str] = &["s3:GetObject", "s3:ListBucket"];
pub const BLOB_WRITER: &[&str] = &["s3:PutObject"];
pub const BLOB_ADMIN: &[&str] = &["s3:DeleteObject"];
pub const QUEUE_SENDER: &[&str] = &["sqs:SendMessage"];
pub const SECRETS: &[&str] = &["secretsmanager:GetSecretValue", "ssm:GetParameter"];
pub const SCHEDULES: &[&str] = &[
    "iam:PassRole",
    "scheduler:CreateSchedule",
    "scheduler:DeleteSchedule",
    "scheduler:GetSchedule",
    "scheduler:ListSchedules",
    "scheduler:UpdateSchedule",
];
