//! Schedules in EventBridge's syntax: `rate(1 hour)`, `cron(0 3 * * ? *)`, with a time zone.

#[derive(Clone, Debug, PartialEq)]
pub struct Schedule;
