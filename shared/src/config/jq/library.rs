//! The definitions that programs can call: jq's own, without what is refused and with loops that count their
//! steps.
//!
//! Always holds: a program is compiled with the definitions that it needs and no others, because compiling all
//! of them takes a hundred times as long as compiling a filter.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jaq_core::load::parse::Def;
use jaq_core::native::Fun;

use super::budget::{self, Bounded};

/// Names that make a result depend on more than the input, or do more than give one.
pub(super) const REFUSED: &[&str] = &[
    "now",
    "env",
    "input",
    "inputs",
    "input_filename",
    "input_line_number",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "halt",
    "halt_error",
    "localtime",
    "strflocaltime",
    "get_search_list",
];

/// The loops of jq's own library again, each turn of which takes a step.
const LOOPS: &str = r"
    def range(from; to): range(from; to; 1);
    def range(to): range(0; to);
    def repeat(f): def rec: _step as $step | f, rec; rec;
    def recurse(f): def rec: _step as $step | ., (f | rec); rec;
    def recurse: recurse(.[]?);
    def recurse(f; cond): recurse(f | select(cond));
    def while(cond; update): def rec: _step as $step | if cond then ., (update | rec) else empty end; rec;
    def until(cond; update): def rec: _step as $step | if cond then . else update | rec end; rec;
";

/// A definition, and the words in it: every name that it calls is among them.
struct Known {
    definition: Def<&'static str>,
    words: BTreeSet<String>,
}

/// In their order: a definition calls itself and those before it.
static LIBRARY: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let loops = jaq_core::load::parse(LOOPS, |p| p.defs()).expect("the loops are jq");
    // Each loop takes the place of the definition that it replaces, since later ones refer to it.
    let or_loop = |def: Def<&'static str>| {
        let replaces = |one: &&Def<&'static str>| one.name == def.name && one.args.len() == def.args.len();
        loops.iter().find(replaces).cloned().unwrap_or(def)
    };
    let all = jaq_core::defs().map(or_loop).chain(jaq_std::defs()).chain(jaq_json::defs());
    all.filter(|def| !REFUSED.contains(&def.name))
        .map(|definition| Known { words: words(&format!("{:?}", definition.body)).collect(), definition })
        .collect()
});

/// What a program needs: definitions in their order, and functions that are not written in jq.
pub(super) fn needed(source: &str) -> (Vec<Def<&'static str>>, impl Iterator<Item = Fun<Bounded>>) {
    let mut wanted: BTreeSet<String> = words(source).collect();
    let mut definitions = Vec::new();
    for known in LIBRARY.iter().rev() {
        if wanted.contains(known.definition.name) {
            wanted.extend(known.words.iter().cloned());
            definitions.push(known.definition.clone());
        }
    }
    definitions.reverse();
    let natives = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let natives = natives.filter(|(name, ..)| !REFUSED.contains(name) && *name != "range").chain(budget::bounded());
    (definitions, natives.filter(move |(name, ..)| wanted.contains(*name)))
}

/// Everything in a text that may be a name of jq, and more.
fn words(text: &str) -> impl Iterator<Item = String> {
    let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '@'));
    text.split(ends).filter(|word| !word.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::jq::Program;

    #[test]
    fn every_definition_comes_with_what_it_calls() {
        assert!(LIBRARY.len() > 100);
        for Known { definition, .. } in LIBRARY.iter() {
            let arguments = vec!["."; definition.args.len()].join("; ");
            let call = if arguments.is_empty() {
                definition.name.to_owned()
            } else {
                format!("{}({arguments})", definition.name)
            };
            if !definition.name.starts_with('_') {
                Program::compile(&call).unwrap_or_else(|error| panic!("{call}: {error}"));
            }
        }
    }

    #[test]
    fn a_filter_needs_no_definition() {
        assert_eq!(needed(r#".event == "talent.updated""#).0.len(), 0);
        assert_eq!(needed("map(.id)").0.len(), 1);
    }
}
