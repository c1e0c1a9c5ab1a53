//! What only admin's host has: schedules that follow a deployed configuration, depths of queues.
//!
//! Always holds: a deployment is in force before its schedules are touched; if they can't be brought in line,
//! the answer says so, and deploying the same configuration again does it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use teal::domain::QueueName;
use teal::pipeline::StageError;
use teal::pipeline::admin::console::{Depths, QueueDepth};
use teal::pipeline::api::{AdminApi, ApiResponse, Code, Problem, Query};
use teal::pipeline::caller::Caller;
use teal::pipeline::schedules::{Reconciled, reconcile, wanted};
use teal::pipeline::systems::Systems;
use teal::ports::fault::FaultKind;
use teal::ports::schedules::Schedules;
use teal::ports::upstream::{Request, Response};
use teal::ports::{Fault, Upstream};

use crate::AwsClients;
use crate::fault::fault;

/// The admin API with schedules: after `POST /deploy`, and on demand at `POST /schedules`.
pub struct WithSchedules {
    pub api: Arc<dyn AdminApi>,
    pub systems: Arc<Systems>,
    pub schedules: Arc<dyn Schedules>,
}

#[async_trait]
impl AdminApi for WithSchedules {
    async fn call(&self, caller: &Caller, method: &str, path: &str, query: &Query, body: Bytes) -> ApiResponse {
        if path == "/schedules" {
            return match method {
                "POST" => self.reconcile(json!({})).await,
                _ => Problem::new(Code::Method, format!("use POST here, not {method}")).with("allow", "POST").into(),
            };
        }
        let answer = self.api.call(caller, method, path, query, body).await;
        match serde_json::from_slice(&answer.body) {
            Ok(deployed) if path == "/deploy" && answer.status < 300 => self.reconcile(deployed).await,
            _ => answer,
        }
    }
}

impl WithSchedules {
    /// Answers with `with` and what was done.
    async fn reconcile(&self, mut with: Json) -> ApiResponse {
        let done = async {
            let loaded = self.systems.current().await?;
            Ok::<_, StageError>(reconcile(self.schedules.as_ref(), wanted(&loaded.system, &BTreeSet::new())).await?)
        };
        match done.await {
            Ok(Reconciled { created, changed, removed }) => {
                with["schedules"] = json!({ "created": created, "changed": changed, "removed": removed });
                ApiResponse::json(200, &with)
            }
            Err(error) => {
                let detail = format!("the configuration is in force, its schedules are not in line: {error}");
                Problem::new(error.code(), detail).into()
            }
        }
    }
}

/// Asks SQS, also for the dead letters that a queue names.
pub struct SqsDepths {
    clients: Arc<AwsClients>,
    urls: BTreeMap<QueueName, String>,
}

impl SqsDepths {
    #[must_use]
    pub fn new(clients: Arc<AwsClients>, urls: BTreeMap<QueueName, String>) -> Self {
        Self { clients, urls }
    }

    async fn attributes(&self, url: &str) -> Result<BTreeMap<Attribute, String>, Fault> {
        let names = [
            Attribute::ApproximateNumberOfMessages,
            Attribute::ApproximateNumberOfMessagesNotVisible,
            Attribute::ApproximateNumberOfMessagesDelayed,
            Attribute::RedrivePolicy,
        ];
        let request = self.clients.sqs().get_queue_attributes().queue_url(url).set_attribute_names(Some(names.into()));
        let answer = request.send().await.map_err(|error| fault(error, "sqs:GetQueueAttributes", url))?;
        Ok(answer.attributes.unwrap_or_default().into_iter().collect())
    }

    async fn dead(&self, policy: Option<&String>) -> Result<u64, Fault> {
        let policy: Json = policy.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let Some(name) = policy["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next()) else {
            return Ok(0);
        };
        let request = self.clients.sqs().get_queue_url().queue_name(name);
        let answer = request.send().await.map_err(|error| fault(error, "sqs:GetQueueUrl", name))?;
        let attributes = self.attributes(answer.queue_url().unwrap_or_default()).await?;
        Ok(number(&attributes, &Attribute::ApproximateNumberOfMessages))
    }
}

#[async_trait]
impl Depths for SqsDepths {
    async fn depth(&self, queue: QueueName) -> Result<QueueDepth, Fault> {
        let attributes = self.attributes(self.urls.get(&queue).map_or("", String::as_str)).await?;
        Ok(QueueDepth {
            visible: number(&attributes, &Attribute::ApproximateNumberOfMessages),
            in_flight: number(&attributes, &Attribute::ApproximateNumberOfMessagesNotVisible),
            delayed: number(&attributes, &Attribute::ApproximateNumberOfMessagesDelayed),
            dead: self.dead(attributes.get(&Attribute::RedrivePolicy)).await?,
        })
    }
}

fn number(attributes: &BTreeMap<Attribute, String>, name: &Attribute) -> u64 {
    attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Admin starts runs and leaves the asking to poll.
pub struct NoUpstream;

#[async_trait]
impl Upstream for NoUpstream {
    async fn send(&self, _: Request) -> Result<Response, Fault> {
        Err(Fault::new(FaultKind::Permanent, "admin asks no source; only poll does"))
    }
}
