//! The template says what it has to: linters find nothing, grants are those that the code needs, and what no linter
//! sees is right.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;

use serde_json::Value as Json;
use teal::config::schedule::Schedule;
use teal_stack_tests::grants::{Target, needed};
use teal_stack_tests::tools::{CHECKOV, SAM, programs, run, said};
use teal_stack_tests::{FUNCTIONS, root};

/// The template as CloudFormation gets it, with its conditions still in it.
fn expanded() -> Option<Json> {
    let programs = programs(teal_emulator::install::EMULATOR)?;
    let output = run(&programs, "python", &["infra/sam_expand.py", "template.yaml"]);
    assert!(output.status.success(), "{}", said(&output));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn resources<'a>(template: &'a Json, kind: &'a str) -> impl Iterator<Item = (&'a String, &'a Json)> {
    let all = template["Resources"].as_object().unwrap().iter();
    all.filter(move |(_, resource)| resource["Type"] == kind).map(|(name, resource)| (name, &resource["Properties"]))
}

fn named(name: &str, suffix: &str) -> String {
    format!("{}{}{suffix}", name[..1].to_uppercase(), &name[1..])
}

/// Every text in it, keys left out.
fn texts(json: &Json) -> Vec<&str> {
    match json {
        Json::String(text) => vec![text],
        Json::Array(items) => items.iter().flat_map(texts).collect(),
        Json::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn linters_find_nothing() {
    let (Some(template), Some(programs)) = (expanded(), programs(SAM)) else { return };
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), template.to_string()).unwrap();
    let lint = run(&programs, "cfn-lint", &[&file.path().to_string_lossy()]);
    assert!(lint.status.success(), "the expanded template: {}", said(&lint));
    let valid = run(&programs, "sam", &["validate", "--region", "us-east-1"]);
    assert!(valid.status.success(), "{}", said(&valid));
}

#[test]
fn what_checkov_finds_has_a_reason_beside_it() {
    let Some(programs) = programs(CHECKOV) else { return };
    let checked = run(&programs, "checkov", &["--config-file", "infra/checkov.yaml"]);
    assert!(checked.status.success(), "{}", said(&checked));
    let reasons = std::fs::read_to_string(root().join("infra/checkov.yaml")).unwrap();
    let lines: Vec<&str> = reasons.lines().skip_while(|line| *line != "skip-check:").skip(1).collect();
    assert!(lines.first().is_some_and(|line| line.trim().starts_with('#')), "the first skip has a reason");
}

#[test]
fn every_function_is_granted_what_its_ports_need_and_nothing_else() {
    let Some(template) = expanded() else { return };
    for function in FUNCTIONS {
        let role = &template["Resources"][named(function, "Role")]["Properties"];
        assert!(role.get("ManagedPolicyArns").is_none(), "{function}: managed policies grant more than it needs");
        let function_role = &template["Resources"][named(function, "Function")]["Properties"]["Role"];
        assert_eq!(function_role["Fn::GetAtt"][0], named(function, "Role"), "{function} has its own role");
        let mut granted: BTreeSet<(Target, String)> = BTreeSet::new();
        for statement in statements(role) {
            for action in texts(&statement["Action"]) {
                assert!(!action.contains('*'), "{function}: {action} grants whatever there will be");
                if let Some(target) = target(function, statement) {
                    granted.insert((target, action.to_owned()));
                }
            }
        }
        let needed: BTreeSet<(Target, String)> = needed(function)
            .into_iter()
            .flat_map(|(target, actions)| actions.into_iter().map(move |action| (target, action.to_owned())))
            .collect();
        let missing: Vec<_> = needed.difference(&granted).collect();
        let too_much: Vec<_> = granted.difference(&needed).collect();
        assert!(
            missing.is_empty() && too_much.is_empty(),
            "{function} lacks {missing:?} and has too much: {too_much:?}"
        );
    }
}

/// The statements of a role, those of a choice as well: whichever holds must grant the right things.
fn statements(role: &Json) -> Vec<&Json> {
    let all = role["Policies"][0]["PolicyDocument"]["Statement"].as_array().unwrap();
    all.iter()
        .flat_map(|statement| match statement["Fn::If"].as_array() {
            // Both sides of a choice.
            Some(choice) => choice[1..].iter().filter(|statement| statement.get("Action").is_some()).collect(),
            None => vec![statement],
        })
        .collect()
}

/// What a statement is about; `None` for the log and traces, which are no port's.
fn target(function: &str, statement: &Json) -> Option<Target> {
    let resources = &statement["Resource"];
    let names = texts(resources).join(" ");
    let actions = texts(&statement["Action"]);
    let of = |service: &str| actions.iter().all(|action| action.starts_with(service));
    if of("logs:") {
        assert_eq!(resources["Fn::GetAtt"][0], named(function, "Log"));
        return None;
    }
    if of("xray:") {
        return None;
    }
    // X-Ray and the list of schedules know no resources; all else is narrowed.
    assert!(names != "*" || actions == ["scheduler:ListSchedules"], "{function}: {actions:?} on everything");
    Some(if of("dynamodb:") && names.contains("LedgerTable") {
        Target::LedgerTable
    } else if of("dynamodb:") && names.contains("EntitiesTable") {
        Target::EntitiesTable
    } else if of("s3:") && names.contains("BackupBucket") {
        Target::SecondBucket
    } else if of("s3:") {
        Target::Bucket
    } else if of("sqs:") && actions.contains(&"sqs:ReceiveMessage") {
        assert_eq!(resources["Fn::GetAtt"][0], named(function, "Queue"), "a function receives from its own queue");
        Target::OwnQueue
    } else if of("sqs:") {
        Target::Queues
    } else if of("ssm:") || of("secretsmanager:") {
        Target::Secrets
    } else if of("scheduler:") || of("iam:") {
        Target::Schedules
    } else {
        panic!("{function}: nobody knows what {actions:?} is for")
    })
}

#[test]
fn queues_wait_six_times_as_long_as_their_functions_may_work_and_give_up_into_dead_letters() {
    let Some(template) = expanded() else { return };
    let mappings: Vec<_> = resources(&template, "AWS::Lambda::EventSourceMapping").collect();
    assert_eq!(mappings.len(), 3);
    for (name, mapping) in mappings {
        let function = mapping["FunctionName"]["Ref"].as_str().unwrap();
        let queue = mapping["EventSourceArn"]["Fn::GetAtt"][0].as_str().unwrap();
        assert_eq!(function.strip_suffix("Function"), queue.strip_suffix("Queue"));
        assert_eq!(mapping["FunctionResponseTypes"], serde_json::json!(["ReportBatchItemFailures"]), "{name}");
        assert!(mapping["ScalingConfig"]["MaximumConcurrency"] != Json::Null, "{name} is bounded");
        let timeout = template["Resources"][function]["Properties"]["Timeout"].as_u64().unwrap();
        let queue = &template["Resources"][queue]["Properties"];
        assert!(queue["VisibilityTimeout"].as_u64().unwrap() >= 6 * timeout, "{name}");
        let dead = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0].as_str().unwrap();
        let kept = |queue: &Json| queue["MessageRetentionPeriod"].as_u64().unwrap();
        assert!(kept(&template["Resources"][dead]["Properties"]) >= kept(queue), "{dead} keeps at least as long");
    }
    for (name, queue) in resources(&template, "AWS::SQS::Queue") {
        assert_eq!(queue["SqsManagedSseEnabled"], true, "{name}");
    }
}

#[test]
fn schedules_are_ones_that_eventbridge_takes_and_routes_have_methods_that_exist() {
    let Some(template) = expanded() else { return };
    for (name, schedule) in resources(&template, "AWS::Scheduler::Schedule") {
        let parameter = schedule["ScheduleExpression"]["Ref"].as_str().unwrap();
        let text = template["Parameters"][parameter]["Default"].as_str().unwrap();
        assert!(Schedule::parse(text, "UTC").is_ok(), "{name}: {text}");
    }
    let routes: BTreeSet<&str> = resources(&template, "AWS::ApiGatewayV2::Route")
        .map(|(_, route)| route["RouteKey"].as_str().unwrap())
        .collect();
    let expected = ["ANY /admin/{proxy+}", "ANY /hooks/{proxy+}", "GET /health", "GET /status", "GET /v1/{proxy+}"];
    assert_eq!(routes, expected.into());
}

#[test]
fn tables_and_bucket_are_safe() {
    let Some(template) = expanded() else { return };
    let all = template["Resources"].as_object().unwrap();
    for (name, table) in resources(&template, "AWS::DynamoDB::Table") {
        assert_eq!(table["BillingMode"], "PAY_PER_REQUEST", "{name}");
        assert_eq!(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true, "{name}");
        assert_eq!(table["DeletionProtectionEnabled"]["Ref"], "DeletionProtection", "{name}");
        assert_eq!(all[name]["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
    }
    let bucket = &all["Bucket"]["Properties"];
    assert_eq!(bucket["VersioningConfiguration"]["Status"], "Enabled");
    let blocked = bucket["PublicAccessBlockConfiguration"].as_object().unwrap();
    assert!(blocked.len() == 4 && blocked.values().all(|value| value == true));
}

#[test]
fn every_function_is_built_the_same_way_and_its_log_ends() {
    let Some(template) = expanded() else { return };
    for function in FUNCTIONS {
        let text = std::fs::read_to_string(root().join("template.yaml")).unwrap();
        assert!(text.contains(&format!("CodeUri: functions/{function}\n")), "{function}");
        let properties = &template["Resources"][named(function, "Function")]["Properties"];
        assert_eq!((&properties["Runtime"], &properties["Handler"]), (&"provided.al2023".into(), &"bootstrap".into()));
        assert_eq!(properties["LoggingConfig"]["LogFormat"], "JSON", "{function}");
        assert_eq!(properties["LoggingConfig"]["LogGroup"]["Ref"], named(function, "Log"));
    }
    for (name, log) in resources(&template, "AWS::Logs::LogGroup") {
        assert_eq!(log["RetentionInDays"]["Ref"], "LogRetentionDays", "{name}");
    }
}
