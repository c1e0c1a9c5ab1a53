//! Breaks Teal's promises, or fails to: simulates one seed after the other and says what came of it.
//!
//! Owns reading the command line and printing. Ends with 1 when a promise was broken or a fault never struck,
//! with 2 when it was not understood.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use teal::mutants::Mutant;
use teal_conformance::simulator::{Kind, Library, Plan, Report, Shrunk, Size, Violation, shrink, simulate};
use teal_connect::ManifestConnectors;

/// A simulation is mostly small allocations: with this one it takes four fifths of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
Simulates Teal's stages with everything going wrong, from one seed after the other.

simulate [--seeds N] [--seed S] [--minutes M] [--records N] [--runs N]
    N seeds from S on (default: 1000 from 1), for at most M minutes
    worlds of 3 sources with that many records each (20), whose schedules ask for that many runs in all (5)

simulate mutants [--seeds N] [--seed S] [--only NAME]
    proves that it can see: makes one deliberate mistake after the other and counts the seeds until a promise is
    broken, at most N (2000) each; needs the feature `mutants`

simulate --seed S --seeds 1 --history [--mutant NAME] [--without KIND,…] [--actions N,…] [--faults N]
    one seed with everything that happens; without some kinds of faults, with some actions of the plan only,
    with the first N faults only: what a failure prints is such a command
";

/// Simulations that looking for a short history may take.
const SEARCH: u32 = 600;

struct Settings {
    /// Whether deliberate mistakes are to be made, one after the other.
    prove: bool,
    mutant: Option<Mutant>,
    seed: u64,
    seeds: u64,
    minutes: Option<u64>,
    size: Size,
    history: bool,
    without: Vec<Kind>,
    actions: Option<Vec<usize>>,
    faults: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match read(&arguments) {
        Ok(settings) if settings.prove => prove(&settings),
        Ok(settings) => run(&settings),
        Err(wrong) => {
            eprintln!("simulate: {wrong}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn read(arguments: &[String]) -> Result<Settings, String> {
    let prove = arguments.first().is_some_and(|first| first == "mutants");
    let mut settings = Settings {
        prove,
        mutant: None,
        seed: 1,
        seeds: if prove { 2000 } else { 1000 },
        minutes: None,
        size: Size::default(),
        history: false,
        without: Vec::new(),
        actions: None,
        faults: u64::MAX,
    };
    let mut rest = arguments.iter().skip(usize::from(prove));
    while let Some(name) = rest.next() {
        if name == "--history" {
            settings.history = true;
            continue;
        }
        let value = rest.next().ok_or_else(|| format!("{name} needs a value, or is not known"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name} takes a whole number, not '{value}'"));
        let whole = || value.parse::<usize>().map_err(|_| format!("{name} takes a whole number, not '{value}'"));
        match name.as_str() {
            "--seed" => settings.seed = number()?,
            "--seeds" => settings.seeds = number()?,
            "--minutes" => settings.minutes = Some(number()?),
            "--records" => settings.size.records = whole()?.max(2),
            "--runs" => settings.size.runs = whole()?,
            "--faults" => settings.faults = number()?,
            "--mutant" | "--only" => settings.mutant = Some(mutant(value)?),
            "--without" => settings.without = value.split(',').map(kind).collect::<Result<_, _>>()?,
            "--actions" => {
                let positions = value.split(',').filter(|text| !text.is_empty()).map(str::parse);
                let positions = positions.collect::<Result<_, _>>();
                settings.actions = Some(positions.map_err(|_| format!("{name} takes numbers, not '{value}'"))?);
            }
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(settings)
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("there is no fault '{name}'"))
}

fn mutant(name: &str) -> Result<Mutant, String> {
    if !cfg!(feature = "mutants") {
        return Err("deliberate mistakes need `--features mutants`".to_owned());
    }
    Mutant::ALL.into_iter().find(|mutant| mutant.name() == name).ok_or_else(|| format!("there is no mutant '{name}'"))
}

#[cfg(feature = "mutants")]
use teal::mutants::turn_on;

#[cfg(not(feature = "mutants"))]
fn turn_on(_: Option<Mutant>) {}

/// Makes one mistake after the other, and says after how many seeds which promise was seen broken.
fn prove(settings: &Settings) -> ExitCode {
    if !cfg!(feature = "mutants") {
        eprintln!("simulate: deliberate mistakes need `--features mutants`");
        return ExitCode::from(2);
    }
    let mut library = Library::new(Arc::new(ManifestConnectors));
    let mut unseen = 0;
    println!("{:<26} {:<40} seeds needed", "mutant", "promise that it breaks");
    for mutant in Mutant::ALL.into_iter().filter(|mutant| settings.mutant.is_none_or(|only| only == *mutant)) {
        turn_on(Some(mutant));
        let found = (settings.seed..settings.seed + settings.seeds).find_map(|seed| {
            let violation = simulate(&plan(settings, seed), &mut library, false).violation?;
            Some((seed - settings.seed + 1, violation.promise))
        });
        match found {
            Some((needed, promise)) => println!("{:<26} {:<40} {needed}", mutant.name(), promise.name()),
            None => println!("{:<26} {:<40} more than {}", mutant.name(), "not seen", settings.seeds),
        }
        unseen += usize::from(found.is_none());
    }
    turn_on(None);
    if unseen == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan(settings: &Settings, seed: u64) -> Plan {
    let mut plan = Plan::new(seed, settings.size);
    if let Some(actions) = &settings.actions {
        plan = plan.only(actions);
    }
    plan.without.clone_from(&settings.without);
    plan.most_faults = settings.faults;
    plan
}

#[expect(clippy::disallowed_methods, reason = "how fast it is, is measured outside of every simulation")]
fn run(settings: &Settings) -> ExitCode {
    turn_on(settings.mutant);
    let mut library = Library::new(Arc::new(ManifestConnectors));
    let mut total = Report { faults: vec![0; Kind::ALL.len()], ..Report::default() };
    let began = Instant::now();
    let limit = settings.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let mut done = 0;
    for seed in settings.seed..settings.seed.saturating_add(settings.seeds) {
        if limit.is_some_and(|limit| began.elapsed() >= limit) {
            break;
        }
        let plan = plan(settings, seed);
        let report = simulate(&plan, &mut library, settings.history);
        done += 1;
        report.history.iter().for_each(|line| println!("{line}"));
        if let Some(violation) = &report.violation {
            println!("seed {seed} breaks a promise\n  {}\n  {}", violation.promise, violation.what);
            if !settings.history {
                explain(settings, &plan, violation, &mut library);
            }
            return ExitCode::FAILURE;
        }
        add(&mut total, &report);
    }
    let took = began.elapsed().as_secs_f64();
    print_totals(settings, &total, done, took);
    let silent: Vec<&str> = Kind::ALL
        .into_iter()
        .zip(&total.faults)
        .filter(|(_, count)| **count == 0)
        .map(|(kind, _)| kind.name())
        .collect();
    if !silent.is_empty() && done >= 100 && settings.without.is_empty() {
        println!("these faults never struck, so nothing is known of them: {}", silent.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn add(total: &mut Report, report: &Report) {
    total.steps += report.steps;
    total.runs += report.runs;
    total.time += report.time;
    total.faults.iter_mut().zip(&report.faults).for_each(|(sum, count)| *sum += count);
}

#[expect(clippy::cast_precision_loss, reason = "rates for people")]
fn print_totals(settings: &Settings, total: &Report, done: u64, took: f64) {
    let each = |number: u64| number as f64 / done.max(1) as f64;
    println!(
        "{done} seeds from {} on, no promise broken: {:.1} seeds/s over {took:.1} s",
        settings.seed,
        done as f64 / took.max(0.001)
    );
    println!(
        "a seed has 3 sources x {} records and {} runs by schedule, {:.1} in all: {:.0} steps in {:.1} hours of the world",
        settings.size.records,
        settings.size.runs,
        each(total.runs),
        each(total.steps),
        each(total.time) / 3_600_000.0
    );
    println!("faults that struck:");
    for (kind, count) in Kind::ALL.into_iter().zip(&total.faults) {
        println!("  {:<22} {count}", kind.name());
    }
}

fn explain(settings: &Settings, plan: &Plan, violation: &Violation, library: &mut Library) {
    println!("looking for a short history …");
    let Shrunk { plan: short, actions, report, tried } = shrink(plan, violation.promise, library, SEARCH);
    report.history.iter().for_each(|line| println!("{line}"));
    let violation = report.violation.as_ref().unwrap_or(violation);
    println!("{}\n  {}", violation.promise, violation.what);
    println!(
        "seed {}; the shortest history of {tried} has {} of {} actions and {} faults. Again with:",
        plan.seed,
        short.actions.len(),
        plan.actions.len(),
        report.faults.iter().sum::<u64>()
    );
    let list = |items: Vec<String>| items.join(",");
    let mut command = format!("cargo run --release -p teal-conformance -- --seed {} --seeds 1 --history", plan.seed);
    if settings.size.records != Size::default().records || settings.size.runs != Size::default().runs {
        command += &format!(" --records {} --runs {}", settings.size.records, settings.size.runs);
    }
    command += &format!(" --actions {}", list(actions.iter().map(ToString::to_string).collect()));
    if !short.without.is_empty() {
        command += &format!(" --without {}", list(short.without.iter().map(|kind| kind.name().to_owned()).collect()));
    }
    if short.most_faults < u64::MAX {
        command += &format!(" --faults {}", short.most_faults);
    }
    println!("  {command}");
}
