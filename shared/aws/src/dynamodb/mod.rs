//! What the ledger and the entities share of DynamoDB.

pub mod tables;
