//! One seed, one course of events, down to the last port call.

use teal::domain::Mode;
use teal_conformance::Trace;
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::{Event, Fault, FaultRule, Kind};

async fn course(seed: u64) -> (u64, Vec<String>) {
    let trace = Trace::default();
    let bench = Bench::traced(Setup { seed, ..Setup::tiny() }, &trace).await;
    bench.blue.fault(FaultRule::nth(2, Fault::Status(500)));
    bench.sync(Mode::Full).await;
    bench.blue.edit(Kind::Talents, &[1]);
    bench.tell(Event::TalentUpdated, 1).await;
    bench.sync(Mode::Incremental).await;
    bench.sync(Mode::Full).await;
    (trace.digest(), trace.lines())
}

#[tokio::test]
async fn the_same_seed_takes_the_same_steps_and_another_one_others() {
    let (first, lines) = course(7).await;
    let (again, lines_again) = course(7).await;
    assert_eq!(lines, lines_again);
    assert_eq!(first, again);
    assert_ne!(first, course(8).await.0);
}
