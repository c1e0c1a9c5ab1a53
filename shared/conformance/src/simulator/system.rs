//! The system that is simulated: three sources, four or five entities, and a few mappings to change between.
//!
//! | source | lists by | carries | says what changed | webhooks | and which are one |
//! | --- | --- | --- | --- | --- | --- |
//! | a | cursor | a time, rounded to a minute in some seeds | yes | upserts, deletes with their time | by id, for long |
//! | b | page numbers | a sequence | yes | only that something changed | by id and bytes |
//! | c | cursor | nothing: only when it was stated | no | upserts, deletes | by id, for less than senders repeat |

use teal::config::Bundle;
/// The sources by name, in the order of everything that is kept by source.
pub const SOURCES: [&str; 3] = ["a", "b", "c"];
/// The stream that every source has, and the one that source a has in some worlds.
pub const STREAMS: [&str; 2] = ["items", "marks"];
/// What must never be seen where somebody could read it.
pub const API_KEY: &str = "simulated-api-key";
pub const HOOK_SECRET: &str = "simulated-hook-secret";
/// Largest part of the rows that the guard lets go.
pub const MAX_SHRINK: f64 = 0.5;

/// A way to map. Any two differ in what readers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    Plain,
    /// Names come from another field.
    Titles,
    /// Names may be shorter only, so that some rows are rejected.
    Strict,
    /// One entity more.
    More,
}

impl Mapping {
    pub const ALL: [Self; 4] = [Self::Plain, Self::Titles, Self::Strict, Self::More];

    /// The path of a name in a record.
    #[must_use]
    pub fn name_path(self) -> &'static str {
        if self == Self::Titles { "title" } else { "name" }
    }

    /// The longest name of a source's records that comes through.
    #[must_use]
    pub fn longest(self) -> usize {
        if self == Self::Strict { 6 } else { 200 }
    }
}

/// What differs from seed to seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// Records a page.
    pub page: usize,
    /// Requests a second that a source allows.
    pub per_second: u32,
    /// Whether source a lists its records in a second stream, which is read at the same time.
    pub marks: bool,
}

impl Shape {
    /// The streams of a source.
    #[must_use]
    pub fn streams(self, source: usize) -> &'static [&'static str] {
        if self.marks && source == 0 { &STREAMS } else { &STREAMS[..1] }
    }
}

/// The stream that an entity is made of.
#[must_use]
pub fn stream_of(entity: &str) -> &'static str {
    STREAMS[usize::from(entity == "marks")]
}

#[must_use]
pub fn bundle(mapping: Mapping, shape: Shape) -> Bundle {
    let more = if mapping == Mapping::More { MORE } else { "" };
    let (lanes, rules, marks) = if shape.marks { (", concurrency: 2", RULES, MARKS) } else { ("", "", "") };
    let system = SYSTEM
        .replace("NAME_PATH", mapping.name_path())
        .replace("LONGEST", &mapping.longest().to_string())
        .replace("PER_SECOND", &shape.per_second.to_string())
        .replace("LANES", lanes)
        .replace("RULES\n", rules)
        + more
        + marks;
    let manifest = |source: usize, pages, since| {
        let streams = shape.streams(source).iter().map(|stream| STREAM.replace("STREAM", stream));
        (MANIFEST.to_owned() + &streams.collect::<String>())
            .replace("NAME", SOURCES[source])
            .replace("PAGES", pages)
            .replace("SINCE", since)
            .replace("SIZE", &shape.page.to_string())
    };
    let files = [
        ("teal.yaml".to_owned(), system),
        ("a.yaml".to_owned(), manifest(0, BY_CURSOR, SINCE)),
        ("b.yaml".to_owned(), manifest(1, BY_PAGE, SINCE)),
        ("c.yaml".to_owned(), manifest(2, BY_CURSOR, "")),
    ];
    Bundle { files: files.into(), env: std::collections::BTreeMap::new() }
}

const MANIFEST: &str = r#"
type: DeclarativeSource
version: 7.0.0
check: { type: CheckStream, stream_names: [items] }
spec: { type: Spec, connection_specification: { type: object, properties: { api_key: { type: string, airbyte_secret: true } } } }
streams:
"#;

const STREAM: &str = r#"  - type: DeclarativeStream
    name: STREAM
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url_base: "{{ config['base_url'] }}"
        path: /NAME/STREAM
        authenticator: { type: BearerAuthenticator, api_token: "{{ config['api_key'] }}" }
        error_handler:
          type: DefaultErrorHandler
          max_retries: 10
          response_filters:
            - { type: HttpResponseFilter, action: FAIL, http_codes: [400, 401, 403, 404, 410] }
            - { type: HttpResponseFilter, action: RATE_LIMITED, http_codes: [429] }
            - type: HttpResponseFilter
              action: RETRY
              predicate: "{{ response.get('error') or 'data' not in response or (not response['data'] and (response.get('next') or (response.get('meta') and response['meta']['pages'] > response['meta']['page']))) }}"
          backoff_strategies: [{ type: WaitTimeFromHeader, header: retry-after }, { type: ExponentialBackoffStrategy, factor: 1 }]
PAGES
SINCE
"#;

const BY_CURSOR: &str = r#"        request_parameters: { size: "SIZE", since: "{{ [stream_interval['start_time']] if stream_interval and stream_interval['start_time'] > '1970-01-02' else [] }}" }
      record_selector: { type: RecordSelector, extractor: { type: DpathExtractor, field_path: [data] } }
      paginator:
        type: DefaultPaginator
        page_token_option: { type: RequestOption, inject_into: request_parameter, field_name: cursor }
        pagination_strategy: { type: CursorPagination, cursor_value: "{{ response.get('next') or '' }}" }"#;
// A total that falls: the pages whose records moved are read again.
const BY_PAGE: &str = r#"        request_parameters:
          size: "SIZE"
          page: "{{ next_page_token['next_page_token']['page'] if next_page_token else 1 }}"
          since: "{{ [stream_interval['start_time']] if stream_interval and stream_interval['start_time'] > '1970-01-02' else [] }}"
      record_selector: { type: RecordSelector, extractor: { type: DpathExtractor, field_path: [data] } }
      paginator:
        type: DefaultPaginator
        pagination_strategy:
          type: CursorPagination
          cursor_value: >-
            {%- set pages, total = response['meta']['pages'], response['meta']['total'] -%}
            {%- set gone = last_page_token_value['total'] - total if last_page_token_value else 0 -%}
            {%- set page = last_page_token_value['page'] if last_page_token_value else 1 -%}
            {%- set back = [page - (gone + SIZE - 1) // SIZE, 1] | max -%}
            {%- if gone > 0 and back < page -%}{{ {'page': back, 'total': total} }}
            {%- elif page < pages -%}{{ {'page': page + 1, 'total': total} }}
            {%- endif -%}"#;
const SINCE: &str = r#"    incremental_sync:
      type: DatetimeBasedCursor
      cursor_field: updated
      cursor_datetime_formats: ["%ms"]
      datetime_format: "%Y-%m-%dT%H:%M:%S.%_msZ"
      start_datetime: "1970-01-01T00:00:00.000Z"
      lookback_window: PT180S"#;

const SYSTEM: &str = r#"
system: simulated
sources:
  a:
    connector: a.yaml
    config: { base_url: "http://sources.example.com", api_key: "${secret:api-key}" }
    limits: { per_second: PER_SECOND, attempts: 3, max_wait: 30mLANES }
    webhook:
      verify: shared-secret
      header: x-secret
      secret: "${secret:hook}"
      dedupe: { by: [{ header: x-id }], keep: 7d }
      stated: { path: sent, format: unix-millis }
      on:
        - { when: '.event == "changed"', do: upsert, stream: items, record: data }
        - { when: '.event == "gone"', do: delete, stream: items, key: data.id, order: { path: data.updated, type: timestamp, format: unix-millis } }
RULES
        - { when: '.event == "look"', do: sync, mode: incremental }
  b:
    connector: b.yaml
    config: { base_url: "http://sources.example.com", api_key: "${secret:api-key}" }
    limits: { per_second: PER_SECOND, attempts: 3, max_wait: 30m }
    webhook:
      verify: shared-secret
      header: x-secret
      secret: "${secret:hook}"
      id: { header: x-id }
      on: [{ do: sync, mode: incremental }]
  c:
    connector: c.yaml
    config: { base_url: "http://sources.example.com", api_key: "${secret:api-key}" }
    limits: { per_second: PER_SECOND, attempts: 3, max_wait: 30m }
    webhook:
      verify: shared-secret
      header: x-secret
      secret: "${secret:hook}"
      dedupe: { by: [{ header: x-id }], keep: 10m }
      stated: { path: sent, format: unix-millis }
      on:
        - { when: '.event == "changed"', do: upsert, stream: items, record: data }
        - { when: '.event == "gone"', do: delete, stream: items, key: data.id }
        - { when: '.event == "look"', do: sync, mode: full }
versions: { keep: 2, raw: 3, grace: 2m }
guard: { max_shrink: 50%, max_rejected: 40% }
entities:
  things:
    from: a.items
    key: id
    order: { path: updated, type: timestamp, format: unix-millis }
    fields:
      id: { type: integer, required: true }
      name: { path: NAME_PATH, type: string, required: true, max_length: LONGEST }
      rev: { type: integer, required: true }
      group: { type: integer }
    relations: { group: groups }
  parts:
    from: a.items
    each: parts[]
    key: id
    order: { path: updated, type: timestamp, format: unix-millis }
    fields:
      id: { type: integer, required: true }
      thing: { path: $.id, type: integer, required: true }
      rev: { path: $.rev, type: integer, required: true }
    relations: { thing: things }
  groups:
    from: b.items
    key: id
    order: { path: rev, type: sequence }
    fields:
      id: { type: integer, required: true }
      name: { path: NAME_PATH, type: string, required: true, max_length: LONGEST }
      rev: { type: integer, required: true }
  notes:
    from: c.items
    key: id
    fields:
      id: { type: integer, required: true }
      name: { path: NAME_PATH, type: string, required: true, max_length: LONGEST }
      rev: { type: integer, required: true }
"#;

const MORE: &str = r"  tags:
    from: c.items
    key: id
    fields:
      id: { type: integer, required: true }
      rev: { type: integer, required: true }
";

const RULES: &str = r#"        - { when: '.event == "changed"', do: upsert, stream: marks, record: data }
        - { when: '.event == "gone"', do: delete, stream: marks, key: data.id, order: { path: data.updated, type: timestamp, format: unix-millis } }
"#;
const MARKS: &str = r"  marks:
    from: a.marks
    key: id
    order: { path: updated, type: timestamp, format: unix-millis }
    fields:
      id: { type: integer, required: true }
      rev: { type: integer, required: true }
";
