//! A page that its source says is as it was is read from what was kept, and stored anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use teal::domain::raw::RawFrom;
use teal::domain::{Mode, Outcome, Raw};
use teal::ports::upstream::{HeaderValue, Request, Response};
use teal::ports::{BlobAdmin, BlobReader, BlobWriter, Clock};
use teal_conformance::trace::at;
use teal_conformance::{Decision, Trace};
use teal_pipeline_tests::{Bench, Setup, answer, sample};
use teal_stand_in::Kind;

/// What the source was asked, and what it answered.
#[derive(Default)]
struct Seen {
    conditional: AtomicU64,
    not_modified: AtomicU64,
}

impl Seen {
    /// Conditional requests, and those of them whose page was as it was, since the last look.
    fn take(&self) -> (u64, u64) {
        (self.conditional.swap(0, Ordering::Relaxed), self.not_modified.swap(0, Ordering::Relaxed))
    }
}

fn header_of<'a>(request: &'a Request, wanted: &str) -> Option<&'a str> {
    request.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| match value {
        HeaderValue::Plain(text) => text.as_str(),
        HeaderValue::Secret(_) => panic!("no condition is a secret"),
    })
}

/// How a source marks its pages.
#[derive(Clone, Copy, PartialEq)]
enum Marks {
    Etag,
    Time,
    /// It says "not modified" of something else.
    WrongEtag,
}

/// The source marks its pages, and keeps to conditions.
fn marks_pages(bench: &Bench, marks: Marks) -> Arc<Seen> {
    let seen = Arc::new(Seen::default());
    let (blue, clock, counted) = (bench.blue.clone(), bench.world.clock.clone(), seen.clone());
    bench.world.upstream.script(move |request| {
        let mut response = answer(&blue, &clock, request)?;
        let sum = response.body.iter().fold(7u32, |sum, b| sum.wrapping_mul(31).wrapping_add(u32::from(*b)));
        let (condition, name, mark) = match marks {
            Marks::Time => {
                let time = UNIX_EPOCH + Duration::from_secs(u64::from(sum >> 4));
                ("if-modified-since", "last-modified", httpdate::fmt_http_date(time))
            }
            Marks::Etag | Marks::WrongEtag => ("if-none-match", "etag", format!("\"{sum:x}\"")),
        };
        let mut header = (name.to_owned(), mark.clone());
        if let Some(known) = header_of(request, condition) {
            counted.conditional.fetch_add(1, Ordering::Relaxed);
            if known == mark || marks == Marks::WrongEtag {
                counted.not_modified.fetch_add(1, Ordering::Relaxed);
                let html = vec![("content-type".to_owned(), "text/html".to_owned())];
                response = Response { status: 304, headers: html, body: Vec::new().into() };
                if marks == Marks::WrongEtag {
                    header.1 = "\"another\"".to_owned();
                }
            }
        }
        response.headers.push(header);
        let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(clock.now().0).unwrap());
        response.headers.retain(|(name, _)| name != "date");
        response.headers.push(("date".to_owned(), httpdate::fmt_http_date(now)));
        Ok(response)
    });
    seen
}

fn asked_conditionally(setup: Setup) -> Setup {
    setup.edit("limits: { per_second: 10 }", "limits: { per_second: 10, conditional: true }")
}

async fn raws(bench: &Bench) -> Vec<String> {
    bench.world.blobs.list("raw/", None, usize::MAX).await.unwrap()
}

async fn bench(marks: Marks) -> (Bench, Arc<Seen>) {
    let bench = Bench::new(asked_conditionally(Setup::default())).await;
    let seen = marks_pages(&bench, marks);
    bench.synced().await;
    assert_eq!(seen.take(), (0, 0), "nothing was known");
    bench.world.clock.advance(Duration::from_secs(3600));
    (bench, seen)
}

#[tokio::test]
async fn what_is_as_it_was_is_not_sent_again_and_reads_the_same() {
    let (bench, seen) = bench(Marks::Etag).await;
    bench.synced().await;
    assert_eq!(seen.take(), (6, 6), "three pages of talents, two of boards, one of tags");
    bench.blue.edit(Kind::Talents, &[1]);
    let run = bench.sync(Mode::Full).await;
    assert_eq!(seen.take(), (6, 5));
    assert_eq!(run.outcome, Some(Outcome::Complete));
    assert_eq!(bench.runner.export().await, bench.fresh().await);
    let counts = bench.runner.counts(&run).await;
    assert_eq!((counts.requests, counts.pages), (6, 6), "each request counts, whatever it brings");

    // Nothing of this run depends on what the runs before left.
    let all = raws(&bench).await;
    let own = all.iter().filter(|key| key.contains(run.id.as_str()));
    let mut confirmed = 0;
    for key in own {
        let raw = Raw::decode(&bench.world.blobs.get(key).await.unwrap()).unwrap();
        assert!(matches!(raw.head.from, RawFrom::Page { status: 200, .. }) && !raw.body.is_empty(), "{:?}", raw.head);
        assert!(raw.head.stated >= run.started, "the source said so now");
        confirmed += raw.head.headers.iter().filter(|(name, _)| name == "teal-not-modified").count();
        assert!(raw.head.headers.iter().all(|(name, _)| name != "teal-asked"));
    }
    assert_eq!(confirmed, 5);
    for key in all.iter().filter(|key| !key.contains(run.id.as_str())) {
        bench.world.blobs.delete(key).await.unwrap();
    }
    let before = bench.runner.export().await;
    assert_eq!(bench.rebuild(true).await.outcome, Some(Outcome::Complete));
    assert_eq!(bench.runner.export().await, before);
}

#[tokio::test]
async fn a_poll_that_finds_nothing_new_costs_the_source_nothing() {
    let (bench, seen) = bench(Marks::Etag).await;
    bench.sync(Mode::Incremental).await;
    seen.take();
    for _ in 0..3 {
        bench.world.clock.advance(Duration::from_secs(300));
        bench.sync(Mode::Incremental).await;
        let (asked, unmodified) = seen.take();
        assert!(asked == unmodified && asked == 3, "{asked} {unmodified}");
    }
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}

#[tokio::test]
async fn a_time_of_change_does_where_there_is_no_etag() {
    let (bench, seen) = bench(Marks::Time).await;
    bench.synced().await;
    assert_eq!(seen.take(), (6, 6));
    bench.blue.edit(Kind::Talents, &[1]);
    bench.sync(Mode::Full).await;
    assert_eq!(seen.take(), (6, 5));
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}

#[tokio::test]
async fn a_304_about_something_else_is_not_believed() {
    let (bench, seen) = bench(Marks::WrongEtag).await;
    bench.blue.edit(Kind::Talents, &[1]);
    let run = bench.sync(Mode::Full).await;
    assert_eq!((run.outcome, seen.take()), (Some(Outcome::Complete), (6, 6)));
    assert_eq!(bench.runner.counts(&run).await.requests, 12);
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}

#[tokio::test]
async fn where_the_body_is_gone_or_damaged_it_is_asked_for_again() {
    for damage in ["gone", "cut short", "another"] {
        let (bench, seen) = bench(Marks::Etag).await;
        for key in raws(&bench).await {
            let bytes = bench.world.blobs.get(&key).await.unwrap();
            bench.world.blobs.delete(&key).await.unwrap();
            let damaged = match damage {
                "gone" => continue,
                "cut short" => bytes.slice(..40),
                _ => [&bytes[..], b" "].concat().into(),
            };
            bench.world.blobs.put_if_absent(&key, damaged).await.unwrap();
        }
        let run = bench.sync(Mode::Full).await;
        assert_eq!((run.outcome, seen.take()), (Some(Outcome::Complete), (6, 6)), "{damage}");
        assert_eq!(bench.runner.counts(&run).await.requests, 12, "{damage}");
        assert_eq!(bench.runner.export().await, bench.fresh().await, "{damage}");
    }
}

#[tokio::test]
async fn nobody_is_asked_so_who_is_not_declared_so() {
    let bench = Bench::new(Setup::default()).await;
    let seen = marks_pages(&bench, Marks::Etag);
    bench.synced().await;
    bench.synced().await;
    assert_eq!(seen.take(), (0, 0));
}

#[tokio::test]
async fn killed_or_failing_at_any_call_it_comes_to_the_same() {
    let setup = asked_conditionally(Setup::tiny());
    let again = async |trace: &Trace| {
        let mut bench = Bench::new(setup.clone()).await;
        let seen = marks_pages(&bench, Marks::Etag);
        bench.synced().await;
        bench.blue.edit(Kind::Talents, &[1]);
        bench.restart(trace);
        bench.runner.ask_for_sync("blue", Mode::Full).await;
        bench.runner.drain().await;
        (bench, seen)
    };
    let trace = Trace::default();
    again(&trace).await;
    let calls = trace.calls();
    for decision in [Decision::Stop, Decision::FailBefore, Decision::FailAfter] {
        for k in sample(calls, 30) {
            let what = format!("{decision:?} at call {k} of {calls}");
            let trace = Trace::new(at(k, decision));
            let (mut bench, seen) = again(&trace).await;
            bench.restart(&Trace::default());
            bench.runner.wake_up().await.unwrap();
            bench.runner.drain().await;
            bench.all_ended_well(&what).await;
            assert_eq!(bench.runner.export().await, bench.fresh().await, "{what}");
            seen.take();
            bench.synced().await;
            assert!(seen.take().1 > 0, "{what}: some page is known");
            assert_eq!(bench.runner.export().await, bench.fresh().await, "{what}");
        }
    }
}
