//! What readers get: rows, listings with pinned cursors, filters, tags, problems.

mod cursors;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use super::*;
use crate::domain::run::RecordCounts;
use crate::domain::schema::Field;
use crate::domain::{
    Counts, Fence, FieldType, KeyPart, Manifest, Millis, Mode, Outcome, Row, Run, RunState, SourceId, Value,
};
use crate::pipeline::fakes::{FixedClock, MemoryEntities, MemoryLedger, ready};
use crate::ports::entities::Gate;
use crate::ports::fault::FaultKind;
use crate::ports::ledger::pointer_key;

struct World {
    entities: Arc<MemoryEntities>,
    ledger: Arc<MemoryLedger>,
    serve: Serve,
}

/// Version 7 with five talents, of which `skills` shares a generation with version 6.
fn world() -> World {
    let (entities, ledger) = (Arc::new(MemoryEntities::default()), Arc::new(MemoryLedger::default()));
    let serve = Serve { entities: entities.clone(), ledger: ledger.clone(), clock: Arc::new(FixedClock(0.into())) };
    let world = World { entities, ledger, serve };
    world.generation(talents(7), "seven");
    world.generation(generation("skills", 6), "six");
    world.manifest(6, VersionState::Previous, &[("talents", 6), ("skills", 6)]);
    world.activate(7, &[("talents", 7), ("skills", 6)]);
    world
}

fn generation(entity: &str, number: u32) -> GenerationId {
    GenerationId { entity: entity.into(), number }
}

fn talents(number: u32) -> GenerationId {
    generation("talents", number)
}

fn schema(entity: &EntityName) -> Schema {
    let field = |name: &str, kind, index| Field { name: name.into(), kind, required: false, index };
    let fields = vec![
        field("id", FieldType::Integer, false),
        field("name", FieldType::String, true),
        field("age", FieldType::Integer, true),
        field("score", FieldType::Number, true),
        field("active", FieldType::Boolean, true),
        field("born", FieldType::Date, true),
        field("seen", FieldType::Timestamp, true),
        field("extra", FieldType::Json, true),
        field("note", FieldType::String, false),
    ];
    Schema { entity: entity.clone(), fields, key: vec!["id".into()], relations: Vec::new() }
}

fn row(id: i64, name: &str) -> Row {
    let values = vec![
        Value::Int(id),
        Value::Text(name.into()),
        Value::Int(id * 10),
        Value::Float(0.5),
        Value::Bool(id % 2 == 0),
        Value::Text(format!("2000-01-0{id}")),
        Value::Text(format!("2024-01-31T0{id}:00:00.000Z")),
        Value::Null,
        Value::Text("n".into()),
    ];
    Row { key: Key::int(id), values }
}

impl World {
    fn generation(&self, id: GenerationId, name: &str) {
        let schema = Arc::new(schema(&id.entity));
        let head = Head { gate: Gate::Open, fence: Fence(1), sequence: 12, rows: 5, sum: 0, schema };
        let rows = (1..=5).map(|n| row(n, name)).collect();
        self.entities.generations.lock().unwrap().insert(id, (head, rows));
    }

    fn drop(&self, id: &GenerationId) {
        self.entities.generations.lock().unwrap().remove(id);
    }

    fn manifest(&self, version: u32, state: VersionState, generations: &[(&str, u32)]) {
        let manifest = Manifest {
            version: Version(version),
            state,
            generations: generations.iter().map(|(entity, number)| ((*entity).into(), *number)).collect(),
            run: None,
            created: Millis(0),
            activated: None,
            deactivated: None,
            replayed: BTreeMap::new(),
            confirmed: 0,
            cursors: BTreeMap::new(),
        };
        self.ledger.put(ledger::version_key(Version(version)), &manifest);
    }

    fn activate(&self, version: u32, generations: &[(&str, u32)]) {
        self.manifest(version, VersionState::Active, generations);
        self.ledger.put(pointer_key(), &pointer(version, generations));
    }

    /// What a switch does: version 8 with talents of its own becomes active, 7 is kept.
    fn switch(&self) {
        self.generation(talents(8), "eight");
        self.manifest(7, VersionState::Previous, &[("talents", 7), ("skills", 6)]);
        self.activate(8, &[("talents", 8), ("skills", 6)]);
    }

    fn list(&self, query: &[(&str, &str)]) -> ApiResponse {
        ready(self.serve.list("talents", &pairs(query), None))
    }

    fn page(&self, query: &[(&str, &str)]) -> Json {
        let answer = self.list(query);
        let body = body(&answer);
        assert_eq!(answer.status, 200, "{body}");
        body
    }

    fn ids(&self, query: &[(&str, &str)]) -> Vec<i64> {
        let page = self.page(query);
        page["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    }

    fn cursor(&self, query: &[(&str, &str)]) -> String {
        self.page(query)["next"].as_str().expect("there is a next page").to_owned()
    }
}

fn pointer(version: u32, generations: &[(&str, u32)]) -> Pointer {
    Pointer {
        version: Version(version),
        previous: Some(Version(version - 1)),
        generations: generations.iter().map(|(entity, number)| ((*entity).into(), *number)).collect(),
        fence: Fence(1),
        at: Millis(0),
    }
}

fn pairs(query: &[(&str, &str)]) -> Query {
    query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn body(answer: &ApiResponse) -> Json {
    serde_json::from_slice(&answer.body).unwrap()
}

fn problem(answer: &ApiResponse) -> (u16, String, String) {
    let body = body(answer);
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (answer.status, text("code"), text("detail"))
}

#[test]
fn a_listing_shows_rows_version_and_where_it_goes_on() {
    let world = world();
    let answer = world.list(&[("limit", "2")]);
    let page = body(&answer);
    assert_eq!((page["version"].as_u64(), page["data"].as_array().map(Vec::len)), (Some(7), Some(2)));
    assert_eq!(page["data"][0]["name"], "seven");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.header("x-teal-version"), Some("7"));
    let feed = URL_SAFE_NO_PAD.decode(answer.header("x-teal-feed").unwrap()).unwrap();
    let feed: Json = serde_json::from_slice(&feed).unwrap();
    assert_eq!(feed, json!({"v": 7, "e": "talents", "g": 7, "s": 12}));
}

#[test]
fn following_the_links_gives_every_row_once_and_ends() {
    let world = world();
    let mut query = pairs(&[("limit", "2"), ("name", "seven"), ("age[gte]", "20")]);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = ready(world.serve.list("talents", &query, None));
        ids.extend(body(&answer)["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()));
        let Some(link) = answer.header("link") else { break };
        let next = link.strip_prefix("<?").unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        query = form_urlencoded::parse(next.as_bytes()).into_owned().collect();
    }
    assert_eq!(ids, [2, 3, 4, 5]);
    assert_eq!(world.page(&[])["next"], Json::Null);
    assert_eq!(world.page(&[("limit", "5")])["next"], Json::Null, "a full last page has no next one");
}

#[test]
fn a_limit_is_a_number_within_bounds() {
    let world = world();
    for wrong in ["0", "1001", "-1", "ten", "", "1.5"] {
        assert_eq!(problem(&world.list(&[("limit", wrong)])).1, "TEAL-S007", "{wrong}");
    }
    assert_eq!(world.ids(&[("limit", "1000")]).len(), 5);
    assert_eq!(problem(&world.list(&[("limit", "1"), ("limit", "2")])).1, "TEAL-S007");
}

#[test]
fn rows_are_sorted_by_key_and_by_nothing_else() {
    let world = world();
    assert_eq!(world.ids(&[("sort", "key")]), [1, 2, 3, 4, 5]);
    for wrong in ["-key", "name", ""] {
        let (status, code, detail) = problem(&world.list(&[("sort", wrong)]));
        assert_eq!((status, code.as_str()), (400, "TEAL-S007"), "{wrong}");
        assert!(detail.contains("sort=key"), "{detail}");
    }
}

#[test]
fn filters_compare_in_the_type_of_their_field() {
    let world = world();
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [i64]);
    let cases: [Case; 9] = [
        (&[("age", "20")], &[2]),
        (&[("age[eq]", "20")], &[2]),
        (&[("age[gt]", "20"), ("age[lte]", "40")], &[3, 4]),
        (&[("age[gte]", "40")], &[4, 5]),
        (&[("active", "true")], &[2, 4]),
        (&[("score[lt]", "0.6"), ("age[lt]", "20")], &[1]),
        (&[("born[lt]", "2000-01-03")], &[1, 2]),
        (&[("seen[gte]", "2024-01-31T06:00:00+02:00")], &[4, 5]),
        (&[("name", "nobody")], &[]),
    ];
    for (query, ids) in cases {
        assert_eq!(world.ids(query), ids, "{query:?}");
    }
}

#[test]
fn a_filter_that_cannot_be_followed_says_what_can() {
    let world = world();
    let cases = [
        ("nmae", "x", "it can be filtered by name, age, score, active, born, seen"),
        ("note", "x", "index: true"),
        ("id", "1", "index: true"),
        ("extra", "{}", "of type json"),
        ("age[like]", "1", "[gte]"),
        ("age[gte", "1", "no field 'age[gte'"),
        ("age", "ten", "not an integer"),
        ("age", "", "not an integer"),
        ("score", "NaN", "not a number"),
        ("active", "yes", "true or false"),
        ("active[gt]", "false", "no order"),
        ("born", "1/2/2000", "YYYY-MM-DD"),
        ("born", "2000-13-01", "YYYY-MM-DD"),
        ("born", "2000-01-01T00:00:00", "YYYY-MM-DD"),
        ("seen", "2024-01-31", "RFC 3339"),
    ];
    for (name, value, expected) in cases {
        let (status, code, detail) = problem(&world.list(&[(name, value)]));
        assert_eq!((status, code.as_str()), (400, "TEAL-S008"), "{name}={value}");
        assert!(detail.contains(expected), "{name}={value}: {detail}");
    }
}

#[test]
fn a_row_is_found_by_its_shown_key() {
    let world = world();
    let answer = ready(world.serve.row("talents", "3", None));
    assert_eq!((answer.status, body(&answer)["age"].as_i64()), (200, Some(30)));
    assert_eq!(answer.header("x-teal-version"), Some("7"));
    for (key, expected) in [("9", "talents has no row '9'"), ("x", "{id, an integer}"), ("3:4", "{id, an integer}")] {
        let (status, code, detail) = problem(&ready(world.serve.row("talents", key, None)));
        assert_eq!((status, code.as_str()), (404, "TEAL-S006"), "{key}");
        assert!(detail.contains(expected), "{detail}");
    }
}

#[test]
fn a_key_is_read_in_its_shown_form_and_decoded_no_further() {
    let mut schema = schema(&"pairs".into());
    schema.key = vec!["name".into(), "id".into()];
    let read = |shown: &str, schema: &Schema| read_key(&"pairs".into(), shown, schema).ok();
    for text in ["a:b %", "a%3A", "%41", "a/b"] {
        let key = Key::new(vec![KeyPart::Text(text.into()), KeyPart::Int(7)]).unwrap();
        assert_eq!(read(&key.to_string(), &schema), Some(key), "{text}");
    }
    assert_eq!(read("a:b:7", &schema), None);

    schema.key = vec!["name".into()];
    for shown in ["a%3Ab", "a:b"] {
        assert_eq!(read(shown, &schema), Some(Key::text("a:b")), "{shown}");
    }
}

#[test]
fn an_entity_that_is_not_there_is_answered_with_those_that_are() {
    let world = world();
    for answer in [ready(world.serve.list("talent", &Query::new(), None)), ready(world.serve.row("talent", "1", None))]
    {
        let (status, code, detail) = problem(&answer);
        assert_eq!((status, code.as_str()), (404, "TEAL-S005"));
        assert!(detail.contains("skills, talents"), "{detail}");
    }
}

#[test]
fn what_a_reader_has_already_is_not_sent_again_until_it_changes() {
    let world = world();
    let list = |query: &[(&str, &str)], known: Option<&str>| ready(world.serve.list("talents", &pairs(query), known));
    let tag = list(&[], None).header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("\"other\", {tag}"), tag.replace("W/", ""), "*".to_owned()] {
        let answer = list(&[], Some(&known));
        assert_eq!((answer.status, answer.body.is_empty()), (304, true), "{known}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
    }
    assert_eq!(list(&[("limit", "2")], Some(&tag)).status, 200);
    assert_eq!(list(&[("age", "10")], Some(&tag)).status, 200);
    let row_tag = ready(world.serve.row("talents", "1", None)).header("etag").unwrap().to_owned();
    assert_eq!(ready(world.serve.row("talents", "1", Some(&row_tag))).status, 304);
    assert_eq!(ready(world.serve.row("talents", "2", Some(&row_tag))).status, 200);

    world.entities.generations.lock().unwrap().get_mut(&talents(7)).unwrap().0.sequence += 1;
    assert_eq!(list(&[], Some(&tag)).status, 200);
    let tag = list(&[], None).header("etag").unwrap().to_owned();
    world.switch();
    assert_eq!(list(&[], Some(&tag)).status, 200);
}

/// Has the world do something once, before the `nth` read of a generation.
fn before_read(world: &World, nth: usize, mut what: impl FnMut() + Send + 'static) {
    let mut reads = 0;
    *world.entities.before.lock().unwrap() = Some(Box::new(move |_| {
        reads += 1;
        if reads == nth {
            what();
        }
    }));
}

/// Version 8 becomes active and 7 is dropped at once, as if the grace period were over.
fn switch_and_drop(world: &World) -> impl FnMut() + Send + 'static {
    let (entities, ledger) = (world.entities.clone(), world.ledger.clone());
    world.generation(talents(8), "eight");
    move || {
        ledger.put(pointer_key(), &pointer(8, &[("talents", 8), ("skills", 6)]));
        entities.generations.lock().unwrap().remove(&talents(7));
    }
}

#[test]
fn a_generation_that_goes_under_a_readers_hands_is_read_from_the_next_version() {
    for nth in [1, 2] {
        let world = world();
        before_read(&world, nth, switch_and_drop(&world));
        let page = world.page(&[]);
        assert_eq!((page["version"].as_u64(), page["data"][0]["name"].as_str()), (Some(8), Some("eight")));

        let world = self::world();
        before_read(&world, nth, switch_and_drop(&world));
        let answer = ready(world.serve.row("talents", "1", None));
        assert_eq!((answer.header("x-teal-version"), body(&answer)["name"].as_str()), (Some("8"), Some("eight")));
    }
}

#[test]
fn a_pinned_page_whose_generation_goes_meanwhile_is_a_410_and_a_first_page_without_any_a_503() {
    let world = world();
    let cursor = world.cursor(&[("limit", "2")]);
    before_read(&world, 2, switch_and_drop(&world));
    assert_eq!(world.list(&[("cursor", &cursor)]).status, 410);

    let world = self::world();
    world.drop(&talents(7));
    let answer = world.list(&[]);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
}

#[test]
fn stores_that_fail_are_a_503_or_a_500_and_say_nothing_of_themselves() {
    for (kind, status) in [(FaultKind::Transient, 503), (FaultKind::Full, 503), (FaultKind::Permanent, 500)] {
        let world = world();
        world.entities.down.fail(kind);
        let answers = [world.list(&[]), ready(world.serve.row("talents", "1", None)), ready(world.serve.status())];
        world.entities.down.mend();
        world.ledger.down.fail(kind);
        for answer in answers.into_iter().chain([world.list(&[]), ready(world.serve.health())]) {
            assert_eq!(answer.status, status);
            assert!(!String::from_utf8_lossy(&answer.body).contains("/secret/place"));
        }
    }
}

#[test]
fn a_system_that_was_never_opened_is_healthy_and_has_nothing_to_read() {
    let world = world();
    world.ledger.items.lock().unwrap().clear();
    assert_eq!(ready(world.serve.health()).status, 200);
    assert_eq!(problem(&world.list(&[])).1, "TEAL-S012");
    assert_eq!(problem(&ready(world.serve.status())).1, "TEAL-S012");
}

fn run(id: &str, source: &str, ended: Option<Outcome>) -> Run {
    let sources = vec![SourceId::new(source)];
    Run {
        fence: Fence(1),
        state: if ended.is_some() { RunState::Ended } else { RunState::WaitingQuota { until: Millis(60_000) } },
        cause: "schedule".into(),
        ended: ended.map(|_| Millis(2_000)),
        outcome: ended,
        ..Run::begun(id.into(), Mode::Full, sources, "c0ffee".into(), Millis(1_000))
    }
}

#[test]
fn status_shows_what_is_read_and_how_each_sources_last_run_ended() {
    let world = world();
    for run in [
        run("r1", "blue", Some(Outcome::Complete)),
        run("r2", "blue", Some(Outcome::PartialQuota)),
        run("r3", "blue", None),
        run("r4", "green", Some(Outcome::CompleteEmpty)),
    ] {
        world.ledger.put(ledger::run_key(&run.id), &run);
    }
    let records = RecordCounts { fetched: 3, mapped: 3, ..RecordCounts::default() };
    let counts = Counts { requests: 2, records, ..Counts::default() };
    world.ledger.put(ledger::counts_key(&"r2".into()), &counts.to_counters());

    let answer = ready(world.serve.status());
    let status = body(&answer);
    assert_eq!(answer.status, 200, "{status}");
    assert_eq!((&status["version"], &status["previous"]), (&json!(7), &json!(6)));
    assert_eq!(status["since"], "1970-01-01T00:00:00.000Z");
    assert_eq!(status["entities"]["talents"], json!({"rows": 5, "generation": 7}));
    assert_eq!(status["entities"]["skills"]["generation"], 6);
    let blue = &status["sources"]["blue"];
    assert_eq!((&blue["last_run"]["id"], &blue["last_run"]["outcome"]), (&json!("r2"), &json!("partial-quota")));
    assert_eq!(blue["last_run"]["counts"]["records"]["fetched"], 3);
    assert_eq!(blue["last_run"]["ended"], "1970-01-01T00:00:02.000Z");
    assert_eq!((&blue["running"]["state"], &blue["running"]["id"]), (&json!("waiting-quota"), &json!("r3")));
    assert_eq!(blue["running"]["until"], "1970-01-01T00:01:00.000Z");
    let green = &status["sources"]["green"];
    assert_eq!((&green["last_run"]["outcome"], &green["running"]), (&json!("complete-empty"), &Json::Null));
}
