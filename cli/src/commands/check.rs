//! `teal check`: everything that is wrong with a configuration, as a compiler would say it. Touches no data
//! and asks no source.

use serde_json::{Value as Json, json};
use teal::config::{Bundle, Problem, Problems, System};
use teal::domain::Secret;
use teal::pipeline::systems::missing_streams;
use teal::ports::Secrets as _;
use teal::ports::connector::{ConnectorConfig, ConnectorError, Connectors as _};
use teal_connect::ManifestConnectors;
use teal_local::secrets::LocalSecrets;

use super::Context;
use crate::exit::Exit;
use crate::render::run::counted;

pub async fn run(cx: &Context) -> anyhow::Result<Exit> {
    let file = cx.place.file.display().to_string();
    let bundle = match cx.place.bundle() {
        Ok(bundle) => bundle,
        Err(error) => match error.downcast::<Problems>() {
            Ok(problems) => return report(cx, &problems.0, &[], &[]),
            Err(error) => return Err(error),
        },
    };
    match teal::config::load(&bundle) {
        Ok(system) => {
            let Found { errors, warnings } = connectors(cx, &system).await?;
            if errors.is_empty() && !cx.output.json {
                let (sources, entities) = (system.sources.len() as u64, system.entities.len() as u64);
                let what = format!("{}, {}", counted(sources, "source"), plural(entities, "entity", "entities"));
                for warning in &warnings {
                    cx.output.line(&format!("warning: {warning}"))?;
                }
                cx.output.line(&format!("{file} is right: {what}"))?;
                return Ok(Exit::Complete);
            }
            report(cx, &[], &errors, &warnings)
        }
        Err(problems) => report(cx, &named(problems, &bundle, &file), &[], &[]),
    }
}

fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[derive(Default)]
struct Found {
    errors: Vec<String>,
    warnings: Vec<String>,
}

/// Compiles every connector with the secrets that are there.
async fn connectors(cx: &Context, system: &System) -> anyhow::Result<Found> {
    let secrets = LocalSecrets::new(cx.place.data.join("secrets"));
    let mut found = Found::default();
    for source in system.sources.values() {
        let mut config = ConnectorConfig { plain: source.config.clone(), ..ConnectorConfig::default() };
        for (member, name) in &source.secrets {
            let secret = secrets.get(&name.0).await?;
            if secret.is_none() {
                found.warnings.push(missing_secret(source.name.as_str(), &name.0));
            }
            // Whether the connector is right does not depend on what the secret is.
            config.secrets.insert(member.clone(), secret.unwrap_or_else(|| Secret::new("")));
        }
        if let Some(webhook) = &source.webhook {
            for key in &webhook.verify.keys {
                let name = &key.secret.0;
                match secrets.get(name).await? {
                    None => found.warnings.push(missing_secret(&format!("{}'s webhook", source.name), name)),
                    Some(secret) => {
                        let wrong = webhook.verify.gate.key(secret.expose(), key.lifetime).err();
                        found.errors.extend(wrong.map(|error| format!("the secret '{name}' is no key: {error}")));
                    }
                }
            }
        }
        match ManifestConnectors.compile(&source.manifest, &config) {
            Ok(connector) => found.errors.extend(missing_streams(system, source, connector.as_ref())),
            Err(ConnectorError::Manifest(wrong)) => {
                found
                    .errors
                    .extend(wrong.into_iter().map(|why| format!("connector of source '{}': {why}", source.name)));
            }
            Err(error) => found.errors.push(format!("connector of source '{}': {error}", source.name)),
        }
    }
    Ok(found)
}

fn missing_secret(whose: &str, name: &str) -> String {
    let variable = name.to_ascii_uppercase().replace('-', "_");
    format!("the secret '{name}' of {whose} is not set; set TEAL_SECRET_{variable} before the first sync")
}

/// Problems with the file's own name, as it was typed, instead of the bundle's.
fn named(problems: Problems, bundle: &Bundle, file: &str) -> Vec<Problem> {
    let mut problems = problems.0;
    for problem in &mut problems {
        if problem.file == teal::config::bundle::ROOT || !bundle.files.contains_key(&problem.file) {
            file.clone_into(&mut problem.file);
        }
    }
    problems
}

fn report(cx: &Context, problems: &[Problem], errors: &[String], warnings: &[String]) -> anyhow::Result<Exit> {
    let wrong = problems.len() + errors.len();
    if cx.output.json {
        let mut list: Vec<Json> = problems.iter().map(problem_json).collect();
        list.extend(errors.iter().map(|message| json!({ "message": message })));
        cx.output.line(&json!({ "ok": wrong == 0, "problems": list, "warnings": warnings }).to_string())?;
    } else {
        for problem in problems {
            cx.output.line(&format!("{}{problem}\n", cx.output.paint("31", "error: ")))?;
        }
        for error in errors {
            cx.output.line(&format!("{}{error}", cx.output.paint("31", "error: ")))?;
        }
        for warning in warnings {
            cx.output.line(&format!("{}{warning}", cx.output.paint("33", "warning: ")))?;
        }
        cx.output.line(&counted(wrong as u64, "problem"))?;
    }
    Ok(if wrong == 0 { Exit::Complete } else { Exit::Error })
}

fn problem_json(problem: &Problem) -> Json {
    json!({
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
        "help": problem.help,
    })
}
