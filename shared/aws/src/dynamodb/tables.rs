//! The two tables: their names come from settings, their keys are these.
//!
//! Two, not one: what may read entities (serve) need not write the ledger, and a role is granted tables, not
//! keys; and a load of a hundred thousand rows should not show in the ledger's metrics. There is no secondary
//! index and no attribute for expiry: items go when upkeep says so, never by age alone.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use teal::ports::Fault;
use teal::ports::fault::FaultKind;

use crate::AwsClients;
use crate::fault::fault;

/// Both keys of both tables are strings.
pub const PARTITION_KEY: &str = "pk";
pub const SORT_KEY: &str = "sk";

/// Makes a table as template.yaml does; for tests and for who tries Teal without a stack.
pub async fn create(clients: &AwsClients, table: &str) -> Result<(), Fault> {
    let object = format!("table '{table}'");
    let mut request = clients.dynamodb().create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [(PARTITION_KEY, KeyType::Hash), (SORT_KEY, KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        request = request
            .attribute_definitions(attribute.build().expect("name and type are given"))
            .key_schema(key.build().expect("name and type are given"));
    }
    request.send().await.map_err(|error| fault(error, "dynamodb:CreateTable", &object))?;
    for _ in 0..PATIENCE {
        let described = clients.dynamodb().describe_table().table_name(table).send().await;
        let described = described.map_err(|error| fault(error, "dynamodb:DescribeTable", &object))?;
        if described.table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
            return Ok(());
        }
        clients.clock.sleep(A_MOMENT).await;
    }
    Err(Fault::new(FaultKind::Transient, format!("{object} was made and is not active after half a minute")))
}

const PATIENCE: usize = 150;
const A_MOMENT: Duration = Duration::from_millis(200);
