//! Schemas in files beside the manifest, with the references between them.

use crate::value::Value;

use crate::node::Files;

/// How deep references may lead.
const DEEPEST: usize = 64;

pub fn read(path: &str, files: &dyn Files) -> Result<Value, String> {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    let text = files.read(path).ok_or_else(|| format!("there is no schema file '{path}' beside the manifest"))?;
    let schema = parse(&text, path)?;
    resolve(&schema, &schema, "", files, 0)
}

fn parse(text: &str, path: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("the schema file '{path}' is not JSON: {error}"))
}

/// `folder` is where the file is that the value comes from, below `schemas/shared`.
fn resolve(value: &Value, root: &Value, folder: &str, files: &dyn Files, depth: usize) -> Result<Value, String> {
    if depth > DEEPEST {
        return Err("the references of a schema file lead too deep; is there a circle?".to_owned());
    }
    match value {
        Value::Object(members) => match members.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
                let held;
                let file = below(folder, file);
                let (root, folder) = if file.is_empty() {
                    (root, folder)
                } else {
                    let path = format!("schemas/shared/{file}");
                    let text = files.read(&path).ok_or_else(|| format!("there is no schema file '{path}'"))?;
                    held = parse(&text, &path)?;
                    (&held, file.rsplit_once('/').map_or("", |(folder, _)| folder))
                };
                let found =
                    root.pointer(pointer).ok_or_else(|| format!("'{reference}' in a schema refers to nothing"))?;
                let mut found = resolve(found, root, folder, files, depth + 1)?;
                if let Some(members) = found.as_object_mut() {
                    members.remove("definitions");
                }
                Ok(found)
            }
            None => (members.iter())
                .map(|(name, value)| Ok((name.clone(), resolve(value, root, folder, files, depth + 1)?)))
                .collect::<Result<_, String>>()
                .map(Value::Object),
        },
        Value::Array(items) => items.iter().map(|item| resolve(item, root, folder, files, depth + 1)).collect(),
        other => Ok(other.clone()),
    }
}

/// A path relative to a folder, without steps up.
fn below(folder: &str, path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut steps: Vec<&str> = folder.split('/').filter(|step| !step.is_empty()).collect();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    steps.join("/")
}
