//! A manifest is checked whole, and every message names the place and the remedy.

use super::*;

#[test]
fn the_manifest_that_ships_compiles() {
    let names: Vec<String> = connector().streams().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["boards", "media_tags", "talents"]);
    assert!(connector().incremental(&"talents".into()));
    assert!(!connector().incremental(&"castings".into()));
}

#[test]
fn everything_that_is_wrong_is_reported_at_once_with_its_place() {
    let found = complaints(
        r#"type: json-http
base_url: "{base}"
auth: { bearer: password }
colour: teal
streams:
  talents:
    path: api/talents
    records: data..list
    pages: { style: page, first: one, size: 5 }
    since: { param: since, lookback: soon, extra: 1 }
  boards:
    path: /api/boards
    pages: { style: spiral }
    pages: { style: cursor }
  Tags: []
"#,
    );
    let expected = [
        "line 14, column 5: 'pages' stands here twice; keep one of them",
        "line 2, column 11: base_url: the source's config has no 'base'; add it in teal.yaml",
        "line 3, column 17: 'password' must be a secret of the source's config; write password: \"${secret:NAME}\" in teal.yaml",
        "line 7, column 11: 'path' must start with '/' and hold no '?', '#' or space: 'api/talents'",
        "line 8, column 14: 'records' must be a dotted path such as 'meta.pages', not 'data..list'",
        "'pages' has no 'param', which it needs",
        "line 9, column 34: 'first' must be a whole number, at least 0",
        "'size_param' and 'size' go together; give both or neither",
        "line 10, column 38: 'lookback' must be a span such as '60s', '5m' or '2h', not 'soon'",
        "line 10, column 44: 'since' has no key 'extra'; it knows: param, cursor, lookback",
        "stream 'boards' has no 'records', which it needs",
        "line 13, column 21: there is no page style 'spiral'; write 'page' or 'cursor'",
        "line 15, column 3: 'Tags' can't be a stream's name",
        "stream 'Tags' must be a map of keys and values",
        "line 4, column 1: the manifest has no key 'colour'; it knows: type, base_url, auth, streams",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "expected {expected}\n   found {found}");
        assert!(found.starts_with("line "), "{found}");
    }
}

#[test]
fn what_is_no_manifest_is_refused_by_name() {
    for (text, expected) in [
        ("", "the manifest is empty"),
        ("type: [json-http", "this is not YAML"),
        ("- type: json-http", "the manifest must be a map"),
        ("type: soap\nstreams: {}", "line 1, column 7: there is no connector type 'soap'; write 'json-http'"),
        ("type: json-http\nbase_url: https://example.com\nstreams: {}", "'streams' is empty"),
        ("type: json-http\n---\ntype: json-http", "one YAML document"),
        ("a: &x 1\nb: *x", "aliases are not used here"),
        (&"[".repeat(40), "nested deeper"),
    ] {
        let found = complaints(text).join("\n");
        assert!(found.contains(expected), "expected {expected}\n   found {found}");
    }
}

#[test]
fn a_base_url_is_whole_and_holds_no_secret() {
    let manifest =
        |base: &str| format!("type: json-http\nbase_url: \"{base}\"\nstreams: {{ a: {{ path: /a, records: . }} }}");
    assert!(compile(&manifest("https://api.example.com/v1")).is_ok());
    assert!(compile(&manifest("http://127.0.0.1:8377")).is_ok());
    for (base, expected) in [
        ("api.example.com", "must be a whole URL"),
        ("ftp://example.com", "must be a whole URL"),
        ("https://me:pw@example.com", "must not hold a user or password"),
        ("https://example.com/?v=1", "must end before any '?'"),
        ("https://example.com/{api_key}", "'api_key' is a secret"),
        ("https://example.com/{region", "'{' without '}'"),
        ("https://example.com/region}", "'}' without '{'"),
    ] {
        let found = complaints(&manifest(base)).join("\n");
        assert!(found.contains(expected), "expected {expected}\n   found {found}");
        assert!(!found.contains(KEY) && !found.contains("pw"), "{found}");
    }
}

#[test]
fn a_secret_that_no_header_can_carry_is_named_and_not_shown() {
    let mut config = config("https://example.com");
    config.secrets.insert("api_key".to_owned(), Secret::new("abc\n"));
    let error = ManifestConnectors.compile(MANIFEST, &config).err().unwrap().to_string();
    assert!(error.contains("'api_key' can't be sent in a header; look for a line break") && !error.contains("abc"));
}
