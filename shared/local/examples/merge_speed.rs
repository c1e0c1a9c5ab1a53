//! How fast `teal.db` takes rows: a listing merged in slots, then once more by its successor.
//!
//! ```text
//! cargo run --release -p teal-local --example merge_speed -- [rows] [rows of a merge] [directory]
//! ```
//!
//! Four callers at a time, as the workers do, and `synchronous = FULL`, as always. The directory should be
//! on the disk that is to be measured: a memory disk has no fsync to wait for.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use teal::domain::{
    Effect, EntityName, Fence, Field, FieldType, GenerationId, Key, Millis, Order, RecordChange, Row, Schema, Value,
};
use teal::ports::entities::{Gate, GenerationSpec, Merged, Writer};
use teal::ports::{EntityAdmin, EntityReader, EntityWriter};
use teal_local::store::{StoreOptions, TealDb};
use tokio::task::JoinSet;

const CALLERS: i64 = 4;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is merged, and into what.
#[derive(Clone, Copy)]
struct Case {
    what: &'static str,
    number: u32,
    base: Option<u32>,
    owner_is_key: bool,
    /// Random text keys instead of numbers in a row.
    scattered: bool,
    /// How many of a hundred rows differ from those of the case before.
    differing: i64,
    stated: i64,
    gate: Gate,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let rows: i64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let slot: i64 = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let directory = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);

    for owner_is_key in [true, false] {
        let directory = tempfile::tempdir_in(&directory)?;
        let path = directory.path().join("teal.db");
        let first = Case {
            what: "first listing",
            number: 1,
            base: None,
            owner_is_key,
            scattered: false,
            differing: 0,
            stated: 10,
            gate: Gate::Building,
        };
        println!("{rows} rows in merges of {slot}, owner_is_key: {owner_is_key}");
        run(&path, rows, slot, first).await?;
        let next = Case { what: "next listing, beside it", number: 2, base: Some(1), differing: 5, ..first };
        run(&path, rows, slot, Case { stated: 20, ..next }).await?;
        let live = Case { what: "the same again, in place", gate: Gate::Open, stated: 30, ..next };
        run(&path, rows, slot, live).await?;
        let changed = Case { what: "all changed, in place", differing: 100, stated: 40, ..live };
        run(&path, rows, slot, changed).await?;
        let scattered = Case { what: "first listing, scattered text keys", number: 3, scattered: true, ..first };
        run(&path, rows, slot, scattered).await?;
        println!();
    }
    Ok(())
}

async fn run(path: &Path, rows: i64, slot: i64, case: Case) -> Outcome<()> {
    let db = TealDb::open(path, StoreOptions::default())?;
    let id = generation(case.number);
    db.create(spec(case)).await?;
    db.set_gates(std::slice::from_ref(&id), case.gate, Fence(1)).await?;
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(merge_every_fourth(Arc::clone(&db), case, caller, rows, slot));
    }
    let mut total = Merged::default();
    while let Some(merged) = callers.join_next().await {
        let Merged { new, changed, unchanged, .. } = merged??;
        total.new += new;
        total.changed += changed;
        total.unchanged += unchanged;
    }
    let took = start.elapsed().as_secs_f64();
    let head = db.head(&id).await?;
    drop(db);
    println!(
        "  {:35} {:>8.0} rows/s  {took:>6.1} s  {} new, {} changed, {} unchanged; {} rows, file {} MiB",
        case.what,
        rows as f64 / took,
        total.new,
        total.changed,
        total.unchanged,
        head.rows,
        std::fs::metadata(path)?.len() >> 20,
    );
    Ok(())
}

async fn merge_every_fourth(db: Arc<TealDb>, case: Case, caller: i64, rows: i64, slot: i64) -> Outcome<Merged> {
    let writer = if case.gate == Gate::Open { Writer::Live } else { Writer::Build(Fence(1)) };
    let id = generation(case.number);
    let mut total = Merged::default();
    let mut from = caller * slot;
    while from < rows {
        let changes: Vec<_> = (from..rows.min(from + slot)).map(|n| change(case, n)).collect();
        let merged = db.merge(&id, writer, &format!("{}/{from}", case.stated), &changes).await?;
        total.new += merged.new;
        total.changed += merged.changed;
        total.unchanged += merged.unchanged;
        from += CALLERS * slot;
    }
    Ok(total)
}

fn generation(number: u32) -> GenerationId {
    GenerationId { entity: EntityName::new("talents"), number }
}

fn spec(case: Case) -> GenerationSpec {
    let field = |name: &str, kind, index| Field { name: name.into(), kind, required: false, index };
    let schema = Schema {
        entity: EntityName::new("talents"),
        fields: vec![
            field("id", FieldType::String, false),
            field("name", FieldType::String, true),
            field("email", FieldType::String, false),
            field("born", FieldType::Date, false),
            field("seen", FieldType::Timestamp, false),
            field("score", FieldType::Number, false),
            field("active", FieldType::Boolean, false),
            field("tags", FieldType::Json, false),
        ],
        key: vec!["id".into()],
        relations: vec![],
    };
    GenerationSpec {
        id: generation(case.number),
        schema: Arc::new(schema),
        floor: Millis(0),
        owner_is_key: case.owner_is_key,
        base: case.base.map(generation),
        gate: Gate::Building,
        fence: Fence(1),
    }
}

fn change(case: Case, n: i64) -> RecordChange {
    let differs = if n % 100 < case.differing { case.stated } else { 0 };
    // A bijection that looks like chance, so that keys are spread and never repeat.
    let mixed = n.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (key, id) = if case.scattered {
        let id = format!("{mixed:016x}");
        (Key::text(id.clone()), id)
    } else {
        (Key::int(n), n.to_string())
    };
    let values = vec![
        Value::Text(id),
        Value::Text(format!("Talent {:x}", mixed >> 40)),
        Value::Text(format!("talent{n}@example.com")),
        Value::Text(format!("19{:02}-{:02}-{:02}", 50 + n % 50, 1 + n % 12, 1 + n % 28)),
        Value::Text("2026-01-02T03:04:05.678Z".into()),
        Value::Float((n % 1000) as f64 + differs as f64),
        Value::Bool(n % 3 == 0),
        Value::Json(serde_json::json!(["actor", "dancer", n % 7])),
    ];
    let order = Order { provider: None, stated: Millis(case.stated), hash: mixed };
    let rows = vec![Row { key: key.clone(), values }];
    RecordChange::new(key, Effect::Upsert { order, rows, complete: true })
}
