//! What upkeep measures, as CloudWatch reads it out of a log line (embedded metric format): no call, no cost but
//! the line's. template.yaml has the alarms on it.

use serde_json::{Value as Json, json};
use teal::domain::Millis;
use teal::pipeline::upkeep::{Health, Upkept};

const NAMESPACE: &str = "Teal";

/// Which deployment it is.
pub struct Deployment {
    pub system: String,
    pub stage: String,
}

/// Writes the line where Lambda reads the log.
pub fn tell(now: Millis, of: &Deployment, health: &Health, upkept: &Upkept) {
    println!("{}", line(now, &of.system, &of.stage, health, upkept));
}

/// One line. `system` and `stage` tell deployments apart; which sources fail is beside the numbers, since each
/// value of a dimension costs what a metric costs.
fn line(now: Millis, system: &str, stage: &str, health: &Health, upkept: &Upkept) -> Json {
    let mut line = json!({
        "System": system,
        "Stage": stage,
        "SourcesFailing": health.failing.len(),
        "RunsResumed": upkept.resumed.len(),
        "sources": health.failing.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "runs": upkept.resumed,
    });
    let mut metrics =
        vec![json!({ "Name": "SourcesFailing", "Unit": "Count" }), json!({ "Name": "RunsResumed", "Unit": "Count" })];
    if let Some(lag) = health.longest_lag {
        line["LongestLagHours"] = json!(lag.as_secs_f64() / 3600.0);
        metrics.push(json!({ "Name": "LongestLagHours" }));
    }
    line["_aws"] = json!({
        "Timestamp": now.0,
        "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [["System", "Stage"]], "Metrics": metrics }],
    });
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_metric_that_is_named_has_a_value_beside_it() {
        let health = Health { failing: vec![], longest_lag: Some(Duration::from_secs(5400)) };
        let line = line(Millis(7), "nowrep", "prod", &health, &Upkept::default());
        let told = &line["_aws"]["CloudWatchMetrics"][0];
        for metric in told["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
        }
        assert_eq!(line["LongestLagHours"], 1.5);
        assert_eq!(
            (&line["System"], &line["Stage"], &line["_aws"]["Timestamp"]),
            (&json!("nowrep"), &json!("prod"), &json!(7))
        );
    }

    #[test]
    fn without_a_schedule_there_is_no_lag() {
        let line = line(Millis(0), "s", "t", &Health::default(), &Upkept::default());
        assert!(line.get("LongestLagHours").is_none());
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len(), 2);
    }
}
