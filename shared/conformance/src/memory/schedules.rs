//! Schedules that set nothing off.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use teal::ports::Fault;
use teal::ports::schedules::{NamedSchedule, Schedules};

use super::lock;

#[derive(Debug, Default)]
pub struct MemorySchedules(Mutex<BTreeMap<String, NamedSchedule>>);

#[async_trait]
impl Schedules for MemorySchedules {
    async fn list(&self) -> Result<Vec<NamedSchedule>, Fault> {
        Ok(lock(&self.0).values().cloned().collect())
    }

    async fn put(&self, schedule: &NamedSchedule) -> Result<(), Fault> {
        lock(&self.0).insert(schedule.name.clone(), schedule.clone());
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), Fault> {
        lock(&self.0).remove(name);
        Ok(())
    }
}
