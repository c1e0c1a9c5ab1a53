//! A system's schedules in EventBridge Scheduler: a group a system, and the poll function for a target.
//!
//! Always holds: only schedules of the system's group are seen or touched, so nobody else's.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_scheduler::operation::delete_schedule::DeleteScheduleError;
use aws_sdk_scheduler::operation::update_schedule::UpdateScheduleError;
use aws_sdk_scheduler::types::{FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, ScheduleState, Target};
use teal::ports::Fault;
use teal::ports::schedules::{NamedSchedule, Schedules};

use crate::AwsClients;
use crate::fault::{fault, permanent};

/// How long it is tried to set off what fell due: after that the next time is nearer.
const LATEST_SECONDS: i32 = 3600;
const MOST_RETRIES: i32 = 20;

pub struct EventBridgeSchedules {
    clients: Arc<AwsClients>,
    group: String,
    /// ARNs of the function and of the role that may invoke it.
    target: String,
    role: String,
}

impl EventBridgeSchedules {
    pub fn new(
        clients: Arc<AwsClients>,
        group: impl Into<String>,
        target: impl Into<String>,
        role: impl Into<String>,
    ) -> Self {
        Self { clients, group: group.into(), target: target.into(), role: role.into() }
    }

    fn object(&self, name: &str) -> String {
        format!("schedule '{}/{name}'", self.group)
    }

    async fn get(&self, name: &str) -> Result<NamedSchedule, Fault> {
        let request = self.clients.scheduler().get_schedule().group_name(&self.group).name(name);
        let found = request.send().await.map_err(|error| fault(error, "scheduler:GetSchedule", &self.object(name)))?;
        let input = found.target.and_then(|target| target.input).unwrap_or_default();
        Ok(NamedSchedule {
            name: name.to_owned(),
            expression: found.schedule_expression.unwrap_or_default(),
            zone: found.schedule_expression_timezone.unwrap_or_else(|| "UTC".to_owned()),
            // Changed by hand: not what anybody wants, and so it is put right.
            input: serde_json::from_str(&input).unwrap_or_default(),
            paused: found.state == Some(ScheduleState::Disabled),
        })
    }

    fn target(&self, schedule: &NamedSchedule) -> Result<Target, Fault> {
        let retries = RetryPolicy::builder()
            .maximum_event_age_in_seconds(LATEST_SECONDS)
            .maximum_retry_attempts(MOST_RETRIES)
            .build();
        let target = Target::builder().arn(&self.target).role_arn(&self.role).retry_policy(retries);
        let target = target.input(schedule.input.to_string()).build();
        target.map_err(|error| permanent(format!("{} has no target", self.object(&schedule.name))).because(error))
    }
}

fn state(schedule: &NamedSchedule) -> ScheduleState {
    if schedule.paused { ScheduleState::Disabled } else { ScheduleState::Enabled }
}

/// At the time, not some time after it.
fn window() -> Option<FlexibleTimeWindow> {
    FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().ok()
}

#[async_trait]
impl Schedules for EventBridgeSchedules {
    async fn list(&self) -> Result<Vec<NamedSchedule>, Fault> {
        let mut names = Vec::new();
        let mut next = None;
        loop {
            let request = self.clients.scheduler().list_schedules().group_name(&self.group).set_next_token(next);
            let page = request.send().await;
            let page = page.map_err(|error| fault(error, "scheduler:ListSchedules", &self.object("")))?;
            names.extend(page.schedules.into_iter().filter_map(|summary| summary.name));
            next = page.next_token;
            if next.is_none() {
                break;
            }
        }
        names.sort();
        let mut schedules = Vec::new();
        for name in names {
            schedules.push(self.get(&name).await?);
        }
        Ok(schedules)
    }

    async fn put(&self, schedule: &NamedSchedule) -> Result<(), Fault> {
        let update = self
            .clients
            .scheduler()
            .update_schedule()
            .group_name(&self.group)
            .name(&schedule.name)
            .schedule_expression(&schedule.expression)
            .schedule_expression_timezone(&schedule.zone)
            .state(state(schedule))
            .target(self.target(schedule)?)
            .set_flexible_time_window(window());
        let error = match update.send().await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if !matches!(error.as_service_error(), Some(UpdateScheduleError::ResourceNotFoundException(_))) {
            return Err(fault(error, "scheduler:UpdateSchedule", &self.object(&schedule.name)));
        }
        let create = self
            .clients
            .scheduler()
            .create_schedule()
            .group_name(&self.group)
            .name(&schedule.name)
            .schedule_expression(&schedule.expression)
            .schedule_expression_timezone(&schedule.zone)
            .state(state(schedule))
            .target(self.target(schedule)?)
            .set_flexible_time_window(window());
        let created = create.send().await;
        created.map_err(|error| fault(error, "scheduler:CreateSchedule", &self.object(&schedule.name)))?;
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), Fault> {
        let request = self.clients.scheduler().delete_schedule().group_name(&self.group).name(name);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(error.as_service_error(), Some(DeleteScheduleError::ResourceNotFoundException(_))) =>
            {
                Ok(())
            }
            Err(error) => Err(fault(error, "scheduler:DeleteSchedule", &self.object(name))),
        }
    }
}
