//! The schedules' contract: kept by name, as they were put.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use teal::ports::schedules::{NamedSchedule, Schedules};

#[async_trait]
pub trait SchedulesHarness: Sync {
    /// No schedules.
    async fn fresh(&self) -> Arc<dyn Schedules>;
}

#[macro_export]
macro_rules! schedules_suite {
    ($harness:expr) => {
        $crate::suite_tests!(
            schedules,
            $harness,
            [
                a_schedule_comes_back_as_it_was_put,
                a_put_changes_what_is_there,
                what_is_deleted_is_gone_and_may_be_made_again,
                many_schedules_are_listed_by_name,
            ]
        );
    };
}

fn schedule(name: &str) -> NamedSchedule {
    NamedSchedule {
        name: name.to_owned(),
        expression: "cron(0 3 * * ? *)".to_owned(),
        zone: "Europe/Berlin".to_owned(),
        input: json!({"source": "blue", "mode": "full"}),
        paused: false,
    }
}

pub async fn a_schedule_comes_back_as_it_was_put(harness: &dyn SchedulesHarness) {
    let schedules = harness.fresh().await;
    assert!(schedules.list().await.unwrap().is_empty());
    let paused = NamedSchedule { paused: true, ..schedule("blue.full") };
    schedules.put(&paused).await.unwrap();
    assert_eq!(schedules.list().await.unwrap(), [paused]);
}

pub async fn a_put_changes_what_is_there(harness: &dyn SchedulesHarness) {
    let schedules = harness.fresh().await;
    schedules.put(&schedule("blue.full")).await.unwrap();
    let changed = NamedSchedule {
        expression: "rate(1 hour)".to_owned(),
        zone: "UTC".to_owned(),
        input: json!({"mode": "incremental"}),
        paused: true,
        ..schedule("blue.full")
    };
    schedules.put(&changed).await.unwrap();
    assert_eq!(schedules.list().await.unwrap(), [changed]);
}

pub async fn what_is_deleted_is_gone_and_may_be_made_again(harness: &dyn SchedulesHarness) {
    let schedules = harness.fresh().await;
    schedules.delete("blue.full").await.expect("deleting what is not there is no error");
    schedules.put(&schedule("blue.full")).await.unwrap();
    schedules.delete("blue.full").await.unwrap();
    assert!(schedules.list().await.unwrap().is_empty());
    schedules.put(&schedule("blue.full")).await.unwrap();
    assert_eq!(schedules.list().await.unwrap(), [schedule("blue.full")]);
}

pub async fn many_schedules_are_listed_by_name(harness: &dyn SchedulesHarness) {
    let schedules = harness.fresh().await;
    let all: Vec<NamedSchedule> = (0..12).map(|n| schedule(&format!("source_{n:02}.full"))).collect();
    for schedule in all.iter().rev() {
        schedules.put(schedule).await.unwrap();
    }
    assert_eq!(schedules.list().await.unwrap(), all);
}
