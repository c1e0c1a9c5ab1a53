//! Every metric there is: what `docs/metrics.md`, Prometheus and CloudWatch show is made from this table.
//!
//! Always holds: names begin with `teal_`, are in base units, and a counter's ends in `_total`; labels have few
//! values (no run, no row, no address).

use super::{Kind, Metric, Unit};

/// Bounds of histograms of what takes from milliseconds to minutes, in seconds.
const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit: Unit::Count, labels, summed: &[], help }
}

const fn gauge(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, labels, summed: &[], help }
}

const fn seconds(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram(SECONDS), unit: Unit::Seconds, labels, summed: &[], help }
}

impl Metric {
    const fn summed_by(mut self, labels: &'static [&'static str]) -> Self {
        self.summed = labels;
        self
    }
}

macro_rules! table {
    ($($constant:ident = $metric:expr;)*) => {
        $(pub static $constant: Metric = $metric;)*

        /// In the order in which they are documented.
        pub static METRICS: &[&Metric] = &[$(&$constant),*];
    };
}

table! {
    RUN_OUTCOME = counter("teal_run_outcome_total", &["source", "mode", "outcome"],
        "Runs that ended. `outcome` is complete, complete-empty, partial-quota, partial-error or failed.")
        .summed_by(&["outcome"]);
    RUN_DURATION = seconds("teal_run_duration_seconds", &["source", "mode"], "From the start of a run to its end.");
    SOURCE_LAG = gauge("teal_source_lag_seconds", Unit::Seconds, &["source"],
        "For each source that has a schedule: time since the start of its last complete run; since it was deployed, where there was none.")
        .summed_by(&[]);
    SOURCES_FAILING = gauge("teal_sources_failing", Unit::Count, &[], "Sources whose last run did not end complete.");
    LEASE_EXPIRY = gauge("teal_lease_expiry_seconds", Unit::Seconds, &["source"],
        "Time left of the lease of a run that has not ended; all of it where there is none. Below zero, nobody is at work on it.");
    RUNS_RESUMED = counter("teal_runs_resumed_total", &[], "Runs that upkeep found without anybody at work on them.");
    PAGES = counter("teal_pages_total", &["source", "mode"], "Pages applied.");
    RECORDS = counter("teal_records_total", &["source", "fate"],
        "Records read from pages and deliveries. `fate` is mapped, filtered or rejected.").summed_by(&["fate"]);
    ROWS = counter("teal_rows_total", &["entity", "fate"],
        "Rows that records made. `fate` is new, changed, unchanged, superseded, duplicate, rejected or deleted; \
         late ones are new or changed besides.")
        .summed_by(&["fate"]);
    HTTP_REQUESTS = counter("teal_http_requests_total", &["source", "status"],
        "Requests to sources. `status` is 2xx to 5xx, or fault where there was no answer.").summed_by(&["status"]);
    HTTP_WAIT = seconds("teal_http_wait_seconds", &["source", "why"],
        "Waits before a request. `why` is limit (ours), backoff (after a failure) or quota (the source's; the run is parked).");
    WEBHOOKS = counter("teal_webhook_received_total", &["source", "verdict"],
        "Webhook requests. `verdict` is accepted, handshake, unverified, limited, too-large, unavailable or unknown (no such address; `source` is then `-`).")
        .summed_by(&["verdict"]);
    REFUSED = counter("teal_webhook_refused_total", &["source", "reason"],
        "Webhook requests that proved nothing. `reason` is missing, differs, too-old, too-new, unknown-version, twice and others that docs/webhooks.md lists.");
    DELIVERIES = counter("teal_deliveries_total", &["source", "fate"],
        "Deliveries gone through. `fate` is applied, rejected, duplicate or split.").summed_by(&["fate"]);
    GAPS = counter("teal_webhook_gaps_total", &["source", "what"],
        "Deliveries that never came. `what` is found or closed: fetched and stored.").summed_by(&["what"]);
    WEBHOOK_LEASE = gauge("teal_webhook_lease_seconds", Unit::Seconds, &["source"],
        "Time left of a webhook's subscription that ends by itself; 0 where there is no valid one.").summed_by(&[]);
    WEBHOOK_LEASE_USED = gauge("teal_webhook_lease_used_ratio", Unit::Count, &["source"],
        "Part of the life of a webhook's subscription that is over, 0 to 1; 1 where there is no valid one. Renewed at half.")
        .summed_by(&[]);
    WEBHOOK_SILENCE = gauge("teal_webhook_silence_ratio", Unit::Count, &["source"],
        "For sources that declare `silence`: time since the last delivery, in gaps that are called silence; 1 and above is silent.")
        .summed_by(&[]);
    MESSAGES = counter("teal_messages_total", &["queue", "verdict"],
        "Messages handled. `verdict` is done, or failed: it comes again, or goes to the dead letters.").summed_by(&["verdict"]);
    QUEUE_DEPTH = gauge("teal_queue_depth", Unit::Count, &["queue", "state"],
        "Messages in a queue. `state` is visible, in-flight or delayed. On AWS, SQS has this.");
    QUEUE_AGE = gauge("teal_queue_age_seconds", Unit::Seconds, &["queue"],
        "Time since the oldest message of a queue was sent; 0 where there is none. On AWS, SQS has this.");
    DLQ_DEPTH = gauge("teal_dlq_depth", Unit::Count, &["queue"],
        "Messages that were given up. On AWS, SQS has this as ApproximateNumberOfMessagesVisible of the dead-letter queue.");
    SWITCHES = counter("teal_switches_total", &[], "Moves of the pointer: switches and rollbacks.");
    SWITCH_CLOSED = seconds("teal_switch_closed_seconds", &[], "How long changes had to wait for a switch.");
    ACTIVE_VERSION = gauge("teal_active_version", Unit::Count, &[], "The version that people read.");
    ANSWERS = counter("teal_http_answers_total", &["route", "status"],
        "Requests that Teal answered. `route` is hooks, health, status, entities, metrics, admin or other; `status` is 2xx to 5xx.")
        .summed_by(&["status"]);
    BACKUPS = counter("teal_backups_total", &["kind", "verdict"],
        "Backups. `kind` is full or increment; `verdict` is done or failed.").summed_by(&["verdict"]);
    BACKUP_AGE = gauge("teal_backup_age_seconds", Unit::Seconds, &["kind"],
        "Time since the last backup of the kind. An increment's counts for what is newest, whatever its kind.");
}
