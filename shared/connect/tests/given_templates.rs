//! Every template of the manifests in ../shared/conformance compiles. Skips where they are absent.

use std::path::Path;

use teal_connect::interpolate::{Template, TemplateError};
use teal_connect::manifest_yaml;
use teal_connect::value::Value;

fn texts<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            found.push(key);
            texts(member, found);
        }),
        _ => {}
    }
}

fn manifests(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            manifests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn every_template_of_the_given_manifests_compiles() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/cases");
    let mut paths = Vec::new();
    manifests(&folder, &mut paths);
    if paths.is_empty() {
        return println!("skipped: there are no manifests in ../shared/conformance/cases");
    }
    let (mut templates, mut wrong) = (0, Vec::new());
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("a readable manifest");
        let document = match manifest_yaml::load(&text) {
            Ok(document) => document,
            Err(error) => {
                wrong.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        let mut found = Vec::new();
        texts(&document.value, &mut found);
        for text in found.into_iter().filter(|text| text.contains("{{") || text.contains("{%")) {
            templates += 1;
            match Template::compile(text) {
                Ok(_) | Err(TemplateError::StreamState { .. }) => {}
                Err(error) => wrong.push(format!("{}: {error}", path.display())),
            }
        }
    }
    println!("{templates} templates of {} manifests", paths.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
