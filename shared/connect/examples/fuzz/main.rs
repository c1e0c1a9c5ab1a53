//! Random changes to known inputs, for as long as it is told to:
//! `cargo run --release -p teal-connect --example fuzz -- interpolation|manifest|yaml --minutes 10 [--seed 1] [--slow 1]`.
//!
//! An input that panics is printed by the panic's message and ends the run; one that takes longer than `--slow`
//! seconds is printed and ends it too. `fuzz/` has the same targets for cargo-fuzz.

mod targets;

use std::path::Path;
use std::time::{Duration, Instant};

use teal_connect::value::Value;

use targets::{interpolation, manifest, yaml};

const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{% for x in ",
    "{% endfor %}",
    "{% if ",
    "{% endif %}",
    "{% set x = ",
    "|",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "\\",
    ":",
    ",",
    ".",
    "-",
    "+",
    "*",
    "**",
    "//",
    "%",
    "~",
    " in ",
    " is ",
    " not ",
    " and ",
    " or ",
    " if ",
    " else ",
    "config",
    "record",
    "x",
    "none",
    "1",
    "99999999999999999999",
    "1e308",
    "0.5",
    "\n",
    "  ",
    "é",
    "\u{1F600}",
    "\0",
    "- ",
    "? ",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "|\n",
    ">-\n",
    "---\n",
    "#",
    "1:30",
    "0x",
    "2024-01-01",
    "| list",
    "| sort",
    "| batch(2)",
    "| map('upper')",
    ".append(x)",
    ".format(x)",
    "'%s' % ",
    "* 100000",
    "** 99",
    ".strftime('%Y')",
    "now_utc()",
    "duration('P1M')",
    "| regex_search('(a*)*b')",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

fn changed(random: &mut Random, corpus: &[String]) -> String {
    let pick = |random: &mut Random| corpus[random.below(corpus.len())].clone();
    let mut text = pick(random);
    for _ in 0..=random.below(6) {
        let mut at = random.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        match random.below(5) {
            0 => text.insert_str(at, PIECES[random.below(PIECES.len())]),
            1 => text.truncate(at),
            2 => text.insert_str(at, &pick(random)),
            3 => text.insert_str(at, &PIECES[random.below(PIECES.len())].repeat(1 + random.below(400))),
            _ => {
                let mut end = (at + random.below(8)).min(text.len());
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                text.replace_range(at..end.max(at), "");
            }
        }
    }
    text
}

/// The manifests of the project.
fn manifests() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = ["connectors", "shared/protocol/tests/rare"].into_iter().flat_map(|folder| {
        let folder = std::fs::read_dir(root.join(folder)).expect("a folder of manifests");
        folder.map(|entry| entry.expect("a file").path())
    });
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.map(|path| std::fs::read_to_string(path).expect("a manifest")).collect()
}

#[allow(clippy::disallowed_methods)] // Time is what bounds it.
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: f64| {
        args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let golden = |name: &str| std::fs::read_to_string(format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR")));
    let (target, corpus): (fn(&str), Vec<String>) = match args.get(1).map(String::as_str) {
        Some("interpolation") => {
            (interpolation, golden("templates.txt").expect("the cases").lines().map(Into::into).collect())
        }
        Some("manifest") => (manifest, manifests()),
        Some("yaml") => {
            let cases: Value = serde_json::from_str(&golden("cases.json").expect("the cases")).expect("JSON");
            let texts = cases.as_array().into_iter().flatten().filter(|case| case["kind"] == "yaml");
            (yaml, texts.filter_map(|case| case["text"].as_str()).map(Into::into).collect())
        }
        _ => return eprintln!("usage: fuzz interpolation|manifest|yaml --minutes 10 [--seed 1] [--slow 1]"),
    };
    let mut random = Random((option("--seed", 1.0) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (start, end) = (Instant::now(), Duration::from_secs_f64(option("--minutes", 1.0) * 60.0));
    let slow = Duration::from_secs_f64(option("--slow", 1.0));
    let (mut runs, mut slowest) = (0u64, Duration::ZERO);
    while start.elapsed() < end {
        let text = changed(&mut random, &corpus);
        let begun = Instant::now();
        if std::panic::catch_unwind(|| target(&text)).is_err() {
            eprintln!("panics: {text:?}");
            std::process::exit(1);
        }
        let took = begun.elapsed();
        slowest = slowest.max(took);
        if took > slow {
            eprintln!("takes {took:?}: {text:?}");
            std::process::exit(1);
        }
        runs += 1;
    }
    println!("{runs} inputs, none failed; the slowest took {slowest:?}");
}
