//! `teal.yaml`: what is understood, and each mistake with its place and remedy.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;
use teal_gate::Preset;

use super::*;
use crate::config::{Action, FieldSource, LookupMissing, Stated};
use crate::domain::{EntityName, FieldType, Mode};

const GOOD: &str = include_str!("../../../tests/config/good.yaml");
const BAD: &str = include_str!("../../../tests/config/bad.yaml");

fn bundle(text: &str) -> Bundle {
    Bundle {
        files: [
            (ROOT.to_owned(), text.to_owned()),
            ("connectors/nowrep-blue.yaml".to_owned(), "the manifest".to_owned()),
            ("connectors/green.yaml".to_owned(), "another manifest".to_owned()),
        ]
        .into(),
        env: [("RATE".to_owned(), "2.5".to_owned())].into(),
    }
}

/// Compares with a committed file; `UPDATE=1` writes it instead.
fn golden(path: &str, actual: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == actual,
        "{path} is not what the code makes of it; run the test with UPDATE=1 and look\n{actual}"
    );
}

#[test]
fn a_good_file_is_the_system_that_it_describes() {
    let bundle = bundle(GOOD);
    let system = load(&bundle).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((system.name.as_str(), &system.hash), ("nowrep", &bundle.hash()));
    assert_eq!((system.versions.keep, system.versions.raw), (3, 3));
    assert_eq!(system.versions.grace, Duration::from_secs(600));

    let blue = &system.sources[&"blue".into()];
    assert_eq!(blue.manifest, "the manifest");
    assert_eq!(blue.config, json!({ "base_url": "http://127.0.0.1:8377", "page": 50 }));
    assert_eq!(blue.secrets["api_key"].0, "blue-api-key");
    assert_eq!(blue.full.as_ref().unwrap().to_string(), "cron(0 3 * * ? *)");
    let limits = &blue.limits;
    assert_eq!((limits.per_second, limits.attempts, limits.max_body), (Some(2.5), 3, 16_000_000));
    assert_eq!((limits.timeout, limits.max_wait), (Duration::from_secs(30), Duration::from_secs(86_400)));

    let hook = blue.webhook.as_ref().unwrap();
    assert_eq!((hook.path.as_str(), hook.max_body), ("blue", 1_000_000));
    assert_eq!(hook.id_header.as_deref(), Some("x-delivery-id"));
    assert_eq!(
        (hook.verify.preset, hook.verify.gate.secret_places().0),
        (Preset::SharedSecret, Some("x-sync-secret-key"))
    );
    assert_eq!(hook.verify.keys[0].secret.0, "sync-secret-key");
    let Some(Stated::Body { path, format: TimeFormat::Rfc3339 }) = &hook.stated else { panic!("{:?}", hook.stated) };
    assert_eq!(*path, Path::parse("sentAt").unwrap());
    assert!(matches!(hook.on[0].action, Action::Sync { mode: Mode::Full }) && hook.on[0].when.is_none());
    assert!(matches!(&hook.on[1].action, Action::Upsert { stream, .. } if stream.as_str() == "talents"));
    assert!(matches!(&hook.on[2].action, Action::Delete { provider: Some(_), .. }) && hook.on[2].when.is_some());

    let order: Vec<&str> = system.entities.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(order, ["talents", "boards", "boards_talents", "portfolios"]);
    let talents = &system.entities[0];
    assert!(talents.owner_is_key && talents.only.is_some() && talents.order.is_some());
    assert_eq!(talents.guard, Guard { max_shrink: 0.1, max_rejected: 0.2, relations: RelationsGuard::Block });
    assert_eq!(system.guard.relations, RelationsGuard::Report);
    let FieldSource::Path(short) = &talents.fields[6].from else { panic!("a path") };
    assert_eq!(*short, Path::parse("short").unwrap());
    assert!(matches!(talents.fields[4].from, FieldSource::Position));
    assert_eq!(talents.fields[3].lookup.as_ref().unwrap().missing, LookupMissing::Keep);
    assert_eq!(talents.fields[1].bounds.max_length, Some(200));
    assert_eq!(talents.fields[2].format, Some(TimeFormat::Pattern("%d/%m/%Y".into())));

    assert!(!system.entities[1].owner_is_key, "a mapped row's key may be anything");
    let junction = &system.entities[2];
    assert_eq!(junction.schema.key, ["board_id", "talent_id"]);
    let kinds: Vec<(FieldType, bool)> = junction.schema.fields.iter().map(|f| (f.kind, f.required)).collect();
    assert_eq!(kinds, [(FieldType::String, true), (FieldType::Integer, true)]);
    assert_eq!(junction.schema.relations[1].to, EntityName::new("talents"));
    assert_eq!(system.entities[3].each, Path::parse_each("portfolios[].media[]").unwrap());
}

#[test]
fn every_mistake_of_a_bad_file_is_reported_at_once_with_its_place_and_the_remedy() {
    let problems = load(&bundle(BAD)).unwrap_err();
    assert!(problems.iter().all(|p| !p.help.is_empty() && p.line > 0 && p.column > 0));
    let shown = problems.to_string();
    assert!(!shown.contains("hunter2"), "a secret's value is not quoted");
    golden("tests/config/bad.txt", &format!("{shown}\n"));
}

/// The good file with another `webhook`, in flow style.
fn with_webhook(hook: &str) -> String {
    let (start, end) = (GOOD.find("    webhook:").unwrap(), GOOD.find("    limits:").unwrap());
    format!("{}    webhook: {{ on: [{{ do: sync }}], {hook} }}\n{}", &GOOD[..start], &GOOD[end..])
}

const SECRET: &str = "secret: \"${secret:key}\"";

#[test]
fn every_sender_that_is_known_by_name_needs_no_more_than_it_must() {
    for name in teal_gate::preset::NAMES {
        let more = match *name {
            "mandrill" => format!("{SECRET}, url: \"https://hooks.example.com/hooks/m\""),
            "websub" | "youtube" => format!("{SECRET}, topics: [\"https://feeds.example.com/a\"]"),
            "sns" => "topics: [\"arn:aws:sns:eu-west-1:123456789012:changes\"]".to_owned(),
            "hmac" => format!("{SECRET}, header: x-signature"),
            _ => SECRET.to_owned(),
        };
        let text = with_webhook(&format!("verify: {name}, {more}"));
        let system = load(&bundle(&text)).unwrap_or_else(|problems| panic!("{problems}"));
        let verify = &system.sources[&"blue".into()].webhook.as_ref().unwrap().verify;
        assert_eq!((Some(verify.preset), verify.keys.len()), (Preset::named(name), usize::from(*name != "sns")));
        // And the same as a mapping.
        let text = with_webhook(&format!("verify: {{ preset: {name}, refused: 403, accepted: 200 }}, {more}"));
        let system = load(&bundle(&text)).unwrap_or_else(|problems| panic!("{problems}"));
        let answers = system.sources[&"blue".into()].webhook.as_ref().unwrap().verify.gate.answers();
        assert_eq!((answers.accepted, answers.refused), (200, teal_gate::Refused::Status(403)));
    }
}

#[test]
fn every_sender_has_a_page_whose_webhook_is_right() {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(docs.join("webhooks")).unwrap().map(|page| page.unwrap().path()).collect();
    pages.push(docs.join("webhooks.md"));
    let (start, end) = (GOOD.find("    webhook:").unwrap(), GOOD.find("    limits:").unwrap());
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for example in text.split("```yaml\n").skip(1) {
            let example = example.split("```").next().unwrap();
            let hook: String = example.lines().map(|line| format!("    {line}\n")).collect();
            let system = format!("{}{hook}{}", &GOOD[..start], &GOOD[end..]);
            load(&bundle(&system)).unwrap_or_else(|problems| panic!("{}: {problems}", page.display()));
        }
    }
    for name in teal_gate::preset::NAMES.iter().filter(|name| !["youtube", "svix"].contains(name)) {
        assert!(pages.iter().any(|page| page.file_stem().is_some_and(|stem| stem == *name)), "{name} has no page");
    }
}

#[test]
fn what_proves_nothing_is_no_configuration() {
    for (hook, says) in [
        ("verify: githup, {S}", "did you mean 'github'?"),
        ("verify: acme, {S}", "write one of github, mailchimp"),
        ("verify: github", "'secret' is missing"),
        ("verify: github, secrets: []", "'secret' is missing"),
        ("verify: github, secret: hunter2", "a secret's value can't be written here"),
        ("verify: mandrill, {S}", "write 'url'"),
        ("verify: mandrill, {S}, url: hooks.example.com", "is not the address of a webhook"),
        ("verify: websub, {S}", "no topic is named"),
        ("verify: sns", "no topic is named"),
        ("verify: sns, {S}, topics: [a]", "signed with certificates"),
        ("verify: github, {S}, topics: [a]", "github has no topics"),
        ("verify: hmac, {S}", "no header is named"),
        ("verify: { preset: hmac, header: x, message: \"{bodi}\" }, {S}", "'{bodi}' is nothing that is signed"),
        (
            "verify: { preset: hmac, header: x, message: \"{timestamp}\" }, {S}",
            "the body is not part of what is signed",
        ),
        ("verify: { preset: hmac, header: x, message: \"{timestamp}.{body}\" }, {S}", "write 'timestamp'"),
        ("verify: { preset: hmac, header: x, timestamp: { header: y } }, {S}", "given and not signed"),
        ("verify: { preset: hmac, header: x, timestamp: {} }, {S}", "a time stands in one place"),
        ("verify: { preset: hmac, header: x, algorithm: md5 }, {S}", "'md5' is not known here"),
        ("verify: { preset: hmac, header: x, accepted: 500 }, {S}", "500 is no status for this"),
        ("verify: { preset: hmac, header: x, separator: ab }, {S}", "a separator is one character"),
        ("verify: { preset: shared-secret, algorithm: sha1 }, {S}", "'algorithm' means nothing for shared-secret"),
        ("verify: { preset: github, parameter: s }, {S}", "'parameter' means nothing for github"),
        ("verify: { preset: github, handshake: [dance] }, {S}", "'dance' is not known here"),
        ("verify: github, {S}, per_second: 0", "no limit that can be kept"),
        ("verify: github, {S}, secrets: [{ {S} }]", "can't both be given"),
        ("verify: github, secrets: [{ {S}, from: tomorrow }]", "'tomorrow' is no time with an offset"),
        (
            "verify: github, secrets: [{ {S}, from: \"2027-01-01T00:00:00Z\", until: \"2026-01-01T00:00:00Z\" }]",
            "it ends before it begins",
        ),
    ] {
        let problems = load(&bundle(&with_webhook(&hook.replace("{S}", SECRET)))).unwrap_err().to_string();
        assert!(problems.contains(says) && !problems.contains("hunter2"), "{hook}\n{problems}");
    }
}

#[test]
fn what_would_be_over_too_soon_is_refused() {
    let lease =
        "lease: { preset: airtable, address: \"https://teal.example.com/hooks/a\", with: { base: b, webhook: w }";
    for (hook, says) in [
        ("dedupe: { by: [{ hash: body }], keep: 3d }".to_owned(), Some("repeats a delivery for 72 hours")),
        ("dedupe: { by: [{ hash: body }], keep: 73h }".to_owned(), None),
        ("dedupe: { by: [{ hash: body }] }".to_owned(), None),
        (format!("{lease}, cover: 10m }}"), Some("write at least 12 minutes")),
        (format!("{lease}, cover: 12m }}"), None),
        (format!("{lease} }}"), None),
    ] {
        let loaded = load(&bundle(&with_webhook(&format!("verify: github, {SECRET}, {hook}"))));
        match (loaded, says) {
            (Ok(_), None) => {}
            (Err(problems), Some(says)) => assert!(problems.to_string().contains(says), "{hook}\n{problems}"),
            (loaded, _) => panic!("{hook}\n{:?}", loaded.err().map(|problems| problems.to_string())),
        }
    }
    // Without a word about it, deliveries are remembered for longer than anybody repeats one.
    for preset in teal_gate::preset::NAMES.iter().filter_map(|name| Preset::named(name)) {
        assert!(preset.repeats().is_none_or(|repeats| repeats < crate::config::after::KEEP), "{preset:?}");
    }
}

#[test]
fn wrong_paths_and_programs_are_reported_where_they_stand() {
    let text = GOOD
        .replace("path: profile.dob", "path: '[['")
        .replace("each: talents[]", "each: '[['")
        .replace("path: g,", "path: 'tags[]',")
        .replace("record: uuid", "record: ^.uuid")
        .replace("'{ id: .uuid }'", "'{ id: '");
    let problems = load(&bundle(&text)).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "entities.boards_talents.each",
            "entities.talents.fields.birth_date.path",
            "entities.talents.fields.gender.path",
            "entities.boards.record",
            "entities.boards.map",
        ]
    );
}

#[test]
fn collecting_brings_named_files_and_variables_and_nothing_else() {
    let env = |name: &str| (name != "BLUE_URL").then(|| "2".to_owned());
    let text = GOOD.replace("connectors/nowrep-blue", "${DIR:-up}/blue");
    let mut asked = Vec::new();
    let bundle = Bundle::collect(
        "systems/nowrep/teal.yaml",
        |path| {
            asked.push(path.to_owned());
            Ok(if path.ends_with("teal.yaml") { text.clone() } else { "manifest".to_owned() })
        },
        env,
    )
    .unwrap();
    assert_eq!(asked, ["systems/nowrep/teal.yaml", "systems/nowrep/2/blue.yaml"]);
    assert_eq!(bundle.env.keys().collect::<Vec<_>>(), ["DIR", "RATE"]);
    assert_eq!(bundle.files["2/blue.yaml"], "manifest");
    load(&bundle).unwrap();
}

#[test]
fn a_connector_that_cannot_be_read_is_reported_with_everything_else() {
    let read = |path: &str| match path {
        "teal.yaml" => Ok(GOOD.replace("key: [talent_id, number]", "key: nummer")),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let problems = Bundle::collect("teal.yaml", read, |_| Some("1".into())).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["sources.blue.connector", "entities.portfolios.key"]);
    assert_eq!((problems.0[0].line, problems.0[0].column), (4, 16));

    let nothing = Bundle::collect("x/teal.yaml", |_| Err(std::io::ErrorKind::NotFound.into()), |_| None).unwrap_err();
    assert!(nothing.to_string().starts_with("x/teal.yaml: the file 'x/teal.yaml' can't be read"), "{nothing}");
}

#[test]
fn empty_and_foreign_files_are_refused_in_words() {
    for text in ["", "# nothing", "[]", "hello", "system:", "sources: {}\nentities: {}\nsystem: 'a' 'b'"] {
        let problems = load(&bundle(text)).unwrap_err();
        assert!(!problems.0.is_empty() && problems.iter().all(|p| !p.help.is_empty()), "{text}: {problems}");
    }
    assert!(load(&Bundle::default()).unwrap_err().to_string().contains("holds no teal.yaml"));
    load(&bundle("system: empty\nsources: {}\nentities: {}\n")).unwrap();
}

#[test]
fn the_json_schema_is_the_one_that_is_committed() {
    let schema = serde_json::to_string_pretty(&crate::config::json_schema()).unwrap();
    golden("../docs/teal.schema.json", &format!("{schema}\n"));
}

#[test]
fn the_reference_has_the_table_of_keys_and_its_examples_are_right() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/teal-yaml.md");
    let text = std::fs::read_to_string(file).unwrap();
    let mut updated = String::new();
    let mut rest = text.as_str();
    for section in keys::SECTIONS {
        let (open, close) = (format!("<!-- keys: {} -->\n", section.name), "<!-- end -->");
        let start = rest.find(&open).unwrap_or_else(|| panic!("the reference lacks {open}")) + open.len();
        let end = start + rest[start..].find(close).unwrap();
        updated.push_str(&rest[..start]);
        updated.push_str(&key_table(section));
        rest = &rest[end..];
    }
    updated.push_str(rest);
    golden("../docs/teal-yaml.md", &updated);

    let complete = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    load(&bundle(complete)).unwrap_or_else(|problems| panic!("{problems}"));
    for example in text.split("```yaml\n").skip(2) {
        let example = example.split("```").next().unwrap();
        let (_, problems) = yaml::parse("example", example);
        assert!(problems.is_empty(), "{example}");
        for line in example.lines() {
            assert!(complete.contains(line.trim()), "the complete example lacks: {line}");
        }
    }
}

fn key_table(section: &keys::Section) -> String {
    use crate::config::keys::Kind;
    let mut out = format!("\n{}\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n", section.doc);
    for key in section.keys {
        let kind = match key.kind {
            Kind::Text => "text".to_owned(),
            Kind::Name => "name".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Paths => "path or list of paths".to_owned(),
            Kind::Each => "path of a list".to_owned(),
            Kind::FieldNames => "field or list of fields".to_owned(),
            Kind::Jq => "jq".to_owned(),
            Kind::Schedule => "schedule".to_owned(),
            Kind::Secret => "secret".to_owned(),
            Kind::TimeFormat => "time format".to_owned(),
            Kind::Boolean => "true or false".to_owned(),
            Kind::Integer { min } => format!("integer from {min}"),
            Kind::Number => "number".to_owned(),
            Kind::Duration => "duration".to_owned(),
            Kind::Size => "size".to_owned(),
            Kind::Percent => "percentage".to_owned(),
            Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Kind::ChoiceOr(words, section) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                format!("{}, or [{1}](#{1})", words.join(", "), section.name)
            }
            Kind::Scalar => "value".to_owned(),
            Kind::Scalars => "list of values".to_owned(),
            Kind::Config => "mapping".to_owned(),
            Kind::Values => "texts or secrets, by name".to_owned(),
            Kind::Section(section) => format!("[{0}](#{0})", section.name),
            Kind::List(section) => format!("list of [{0}](#{0})", section.name),
            Kind::Named(section) => format!("name: [{0}](#{0})", section.name),
            Kind::Fields(section) => format!("name: [{0}](#{0})", section.name),
            Kind::Relations => "field: entity".to_owned(),
            Kind::Lookup => "text: value".to_owned(),
        };
        let default = match (key.required, key.default) {
            (true, _) => "*required*".to_owned(),
            (false, Some(default)) => format!("`{default}`"),
            (false, None) => String::new(),
        };
        out.push_str(&format!("| `{}` | {kind} | {default} | {} |\n", key.name, key.doc));
    }
    out.push('\n');
    out
}

fn declared(root: Option<&yaml::Node>, key: &str) -> usize {
    let Some(yaml::Content::Map(entries)) = root.map(|root| &root.content) else { return 0 };
    let found = entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value.content);
    if let Some(yaml::Content::Map(members)) = found { members.len() } else { 0 }
}

/// Characters that mean something to YAML or to variables.
const MARKS: &[u8] = b"{}[]:,#&*!|>'\"%@`-?$ \n\t";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_edit_of_a_good_file_makes_the_loader_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..17_u8, any::<u8>()), 1..6),
    ) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, what, byte) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match what {
                0..=3 => bytes[at] = byte,
                4..=7 => { bytes.remove(at); }
                8..=15 => bytes.insert(at, MARKS[usize::from(byte) % MARKS.len()]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match load(&bundle(&text)) {
            Ok(system) => {
                let (root, _) = yaml::parse(ROOT, &text);
                prop_assert_eq!(system.sources.len(), declared(root.as_ref(), "sources"), "a source was dropped");
                prop_assert_eq!(system.entities.len(), declared(root.as_ref(), "entities"), "an entity was dropped");
            }
            Err(problems) => {
                prop_assert!(!problems.0.is_empty());
                prop_assert!(problems.iter().all(|p| !p.help.is_empty() && p.line > 0));
                let _ = problems.to_string();
            }
        }
        let _ = Bundle::collect("teal.yaml", |_| Ok(text.clone()), |_| None);
    }
}
