//! A folder's listing is asked for in parts, each file becomes a record or the reason why not.

use super::*;
use teal::ports::folder::MODIFIED;

fn connector(config: Json) -> Result<MarkdownFolder, ConnectorError> {
    MarkdownFolder::compile("type: MarkdownFolder\n", &ConnectorConfig { plain: config, ..ConnectorConfig::default() })
}

fn taken(path: &str, body: impl Into<Bytes>) -> Result<Json, String> {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = vec![header(PATH, path), header(MODIFIED, "2030-01-01T00:00:00.000Z")];
    file::record(&Response { status: 200, headers, body: body.into() })
}

fn listed(paths: &[(&str, Option<&str>)], more: bool) -> Response {
    let files = paths.iter().map(|(path, problem)| Entry { path: (*path).into(), problem: problem.map(str::to_owned) });
    let body = serde_json::to_vec(&Listed { files: files.collect(), more }).unwrap();
    Response { status: 200, headers: Vec::new(), body: body.into() }
}

fn asked(step: &Step) -> (String, Vec<String>) {
    let Step::Ask(request) = step else { panic!("{step:?}") };
    let value = |value: &HeaderValue| match value {
        HeaderValue::Plain(text) => text.clone(),
        HeaderValue::Secret(_) => panic!("a folder has no secret"),
    };
    (request.method.to_string(), request.headers.iter().map(|(name, v)| format!("{name}={}", value(v))).collect())
}

struct NoChance;

impl Entropy for NoChance {
    fn next(&self) -> u64 {
        0
    }
}

#[test]
fn a_file_is_its_path_front_matter_title_and_body() {
    let record = taken("guides/joy.md", "---\ntitle: Joy\ntags: [a, b]\n---\n# Other\nText\n").unwrap();
    assert_eq!(
        (&record["path"], &record["folder"], &record["name"]),
        (&json!("guides/joy.md"), &json!("guides"), &json!("joy"))
    );
    assert_eq!((&record["title"], &record["front_matter"]["tags"]), (&json!("Joy"), &json!(["a", "b"])));
    assert_eq!((&record["body"], &record["modified"]), (&json!("# Other\nText\n"), &json!("2030-01-01T00:00:00.000Z")));
    assert_eq!(record["hash"].as_str().unwrap().len(), 64);
}

#[test]
fn a_title_comes_from_the_front_matter_or_the_first_heading_or_the_name() {
    let title = |text: &str| taken("a/note one.md", text.to_owned()).unwrap()["title"].clone();
    assert_eq!(title("```sh\n# not this\n```\n# This one #\n# nor this\n"), "This one");
    assert_eq!(title("---\ntitle: 5\n---\ntext"), "note one");
    assert_eq!(title("\u{feff}---\r\ntitle: Windows\r\n---\r\ntext"), "Windows");
    assert_eq!(title(""), "note one");
}

#[test]
fn text_without_front_matter_is_all_body() {
    for text in ["--- \u{e9}", "text\n---\na: 1\n---\n", "----\n"] {
        let record = taken("a.md", text).unwrap();
        assert_eq!((&record["body"], &record["front_matter"]), (&json!(text), &json!({})));
    }
    assert_eq!(taken("a.md", "---\n---\nrest").unwrap()["body"], "rest");
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let mut bomb = "---\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let before = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{before}]\n"));
    }
    bomb.push_str("---\n");
    let deep = format!("---\na: {}\n---\n", "[".repeat(10_000));
    let long = format!("---\n{}", "a: 1\n".repeat(20_000));
    for (text, told) in [
        (b"caf\xe9".to_vec(), "not UTF-8 (byte 3)"),
        (b"---\ntitle: a\nno end".to_vec(), "no '---' at its end"),
        (b"---\na: 1\nb: [1\n---\n".to_vec(), "not YAML: line"),
        (b"---\n- a\n- b\n---\n".to_vec(), "no list of 'name: value'"),
        (bomb.into_bytes(), "not YAML"),
        (deep.into_bytes(), "not YAML"),
        (long.into_bytes(), "larger than 64 KB"),
    ] {
        let why = taken("notes/bad.md", text).unwrap_err();
        assert!(why.starts_with("notes/bad.md: ") && why.contains(told), "{told}: {why}");
    }
}

#[test]
fn a_listing_reads_each_file_and_ends_with_a_cursor_before_its_start() {
    let connector = connector(json!({ "folder": "notes" })).unwrap();
    let stream = StreamName::new("files");
    let begun = connector.begin(&stream, Mode::Full, Some(&json!({ "since": 1 })), Millis(60_000)).unwrap();
    let mut session = connector.session(Arc::new(NoChance)).unwrap();
    session.open(&stream, &begun).unwrap();
    assert_eq!(asked(&session.step(Millis(1)).unwrap()), ("LIST".into(), vec!["after=".into()]));
    let files = [("a.md", None), ("b.md", Some("it is a symbolic link")), ("c.md", None)];
    session.answer(Millis(1), listed(&files, true)).unwrap();
    let body = |text: &'static str| Response {
        status: 200,
        headers: vec![(PATH.to_owned(), "a.md".to_owned())],
        body: Bytes::from_static(text.as_bytes()),
    };
    let first = session.step(Millis(1)).unwrap();
    assert_eq!(asked(&first), ("READ".into(), vec!["path=a.md".into()]));
    assert_eq!(session.step(Millis(1)).unwrap(), first, "the same again until it has its answer");
    session.answer(Millis(2), body("A")).unwrap();
    assert_eq!(asked(&session.step(Millis(2)).unwrap()).1, ["path=c.md"]);
    session.answer(Millis(3), Response { status: 404, headers: Vec::new(), body: Bytes::new() }).unwrap();
    let Step::Page { answers, next: Next::Page(next) } = session.step(Millis(3)).unwrap() else { panic!() };
    let page: Vec<Response> = answers.into_iter().map(|answer| answer.response).collect();
    let records = connector.records(&stream, &begun, &page).unwrap();
    assert_eq!(records.len(), 2, "what went meanwhile is none");
    assert_eq!(records[0].record.as_ref().unwrap()["body"], "A");
    assert_eq!(records[1].record.as_ref().unwrap_err(), "b.md: it is a symbolic link");

    session.open(&stream, &next).unwrap();
    assert_eq!(asked(&session.step(Millis(4)).unwrap()).1, ["after=c.md"]);
    session.answer(Millis(4), listed(&[], false)).unwrap();
    let Step::End { cursor } = session.step(Millis(4)).unwrap() else { panic!() };
    let cursor = cursor.unwrap();
    assert_eq!(cursor, json!({ "since": 50_000 }));
    let begun = connector.begin(&stream, Mode::Incremental, Some(&cursor), Millis(90_000)).unwrap();
    session.open(&stream, &begun).unwrap();
    assert_eq!(asked(&session.step(Millis(5)).unwrap()).1, ["after=", "since=50000"]);
}

#[test]
fn a_wrong_configuration_is_told_whole() {
    let compiled = |manifest: &str, plain| {
        MarkdownFolder::compile(manifest, &ConnectorConfig { plain, ..ConnectorConfig::default() }).err().unwrap()
    };
    let ConnectorError::Manifest(wrong) = compiled("type: MarkdownFolder\nglob: x\n", json!({ "floder": "notes" }))
    else {
        panic!()
    };
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong[0].contains("'glob'") && wrong[1].contains("'floder'") && wrong[2].contains("needs 'folder'"));
    assert!(is_meant("# Notes\ntype: MarkdownFolder # ours\n") && !is_meant("type: DeclarativeSource\n"));
}
