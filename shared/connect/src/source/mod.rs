//! A source: a manifest and a configuration, ready to be checked, listed and read.
//!
//! Owns the order in which things become known: the manifest, the specification, the configuration as its rules
//! change it, and the streams, of which some must be asked for.

pub mod catalog;
pub mod check;
mod dynamic;
mod plain_schema;
pub mod rules;
pub mod secrets;
pub mod spec;
pub mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use crate::value::{Map, Value};
use jiff::Timestamp;

use crate::budget::{self, Budget};
use crate::failure::Failure;
use crate::load::{self, Manifest};
use crate::node::{Compiler, Files, Node};
use crate::problem::{Kind, Problem};
use crate::read::fetch::Answered;
use crate::read::{Progress, ready};
use crate::session::{Entropy, Session};
use catalog::Catalog;
use dynamic::Resolving;
use stream::Stream;

pub type States = BTreeMap<String, Value>;

pub struct Source {
    manifest: Manifest,
    pub spec: Option<spec::Spec>,
    pub config: Arc<Value>,
    /// The configuration as it should be kept from now on, when its migrations changed it.
    pub migrated: Option<Value>,
    pub catalog: Catalog,
    pub states: States,
    files: Arc<dyn Files>,
    now: Timestamp,
}

/// A stream that was compiled, or why it can't be.
#[derive(Clone, Debug)]
pub struct Built {
    pub name: String,
    /// What the manifest, or a resolver, says of it.
    pub component: Value,
    /// The definition that it came from, when it was not written out.
    pub definition: Option<String>,
    pub stream: Result<Arc<Stream>, Vec<Problem>>,
}

impl Source {
    pub fn new(
        text: &str,
        config: Option<Value>,
        files: Arc<dyn Files>,
        catalog: Catalog,
        states: States,
        now: Timestamp,
    ) -> Result<Self, Vec<Problem>> {
        let manifest = load::load(text)?;
        let mut problems = Vec::new();
        check_shape(&manifest.root, &mut problems);
        let spec = spec::Spec::read(&manifest.root, files.as_ref(), &mut problems);
        let mut config = config.unwrap_or_else(|| Value::Object(Map::new()));
        let mut migrated = None;
        if let Some(spec) = manifest.root.get("spec")
            && crate::python::is_truthy(&config)
        {
            let rules = rules::Rules::compile(&Node::new(spec, "spec"), &mut problems);
            let before = config.clone();
            rules.migrate(&mut config, now).map_err(|failure| vec![config_problem(failure)])?;
            migrated = (config != before).then(|| config.clone());
            rules.transform(&mut config, now).map_err(|failure| vec![config_problem(failure)])?;
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { manifest, spec, config: Arc::new(config), migrated, catalog, states, files, now })
    }

    pub fn root(&self) -> &Value {
        &self.manifest.root
    }

    /// Checks the configuration against the specification.
    pub fn validate(&self) -> Result<(), Failure> {
        self.spec.as_ref().map_or(Ok(()), |spec| spec.validate(&self.config))
    }

    /// Other values in the configuration, from now on.
    pub fn override_config(&mut self, overrides: &Map) {
        let mut config = self.config.as_ref().clone();
        if let Some(members) = config.as_object_mut() {
            members.extend(overrides.clone());
        }
        self.config = Arc::new(config);
    }

    fn compile<T>(&self, compile: impl FnOnce(&mut Compiler) -> T) -> (T, Vec<Problem>) {
        let mut cx = Compiler {
            config: &self.config,
            now: self.now,
            files: self.files.as_ref(),
            catalog: &self.catalog,
            states: &self.states,
            problems: Vec::new(),
        };
        let out = compile(&mut cx);
        (out, cx.problems)
    }

    pub fn session(&self, entropy: Entropy) -> Result<Session, Vec<Problem>> {
        let root = Node::root(self.root());
        let ((budget, jobs), problems) = self.compile(|cx| {
            let budget = root.get("api_budget").and_then(|node| Budget::compile(&node, cx));
            (budget.unwrap_or_default(), budget::most_jobs(self.root(), cx))
        });
        match problems.is_empty() {
            true => Ok(Session::new(self.config.clone(), budget, jobs, entropy)),
            false => Err(problems),
        }
    }

    /// How many slices may be read at once.
    pub fn concurrency(&self) -> usize {
        let root = Node::root(self.root());
        let Some(level) = root.get("concurrency_level") else { return 2 };
        let (value, _) = self.compile(|cx| cx.evaluate(&level.get("default_concurrency")?, &level.parameters()));
        let most = level.value.get("max_concurrency").and_then(Value::as_u64).unwrap_or(u64::MAX);
        let level = value.and_then(|value| value.as_u64()).unwrap_or(2).min(most).clamp(1, 256);
        usize::try_from(level).unwrap_or(2)
    }

    /// Names of streams that must not be read at the same time, by group.
    pub fn groups(&self) -> Vec<Vec<String>> {
        let groups = self.root().get("stream_groups").and_then(Value::as_object);
        let names = |group: &Value| {
            let streams = group.get("streams").and_then(Value::as_array).into_iter().flatten();
            streams.filter_map(|stream| stream.get("name").and_then(Value::as_str).map(str::to_owned)).collect()
        };
        groups.into_iter().flatten().map(|(_, group)| names(group)).collect()
    }

    /// Starts building streams. `wanted` names those that matter; `None` for all.
    pub fn building(&self, wanted: Option<Vec<String>>) -> Result<Building<&Self>, Failure> {
        Building::of(self, wanted)
    }

    /// The components of streams that are written out.
    fn written_out(&self) -> Result<Vec<(Value, String, Option<String>)>, Failure> {
        rules::validate(self.root(), &self.config, self.now)?;
        let mut components: Vec<(Value, String, Option<String>)> = Vec::new();
        let root = Node::root(self.root());
        for node in root.list("streams") {
            if node.kind() != "ConditionalStreams" {
                components.push((node.value.clone(), node.at.clone(), None));
                continue;
            }
            let (is_met, problems) = self.compile(|cx| {
                let condition = node.require_template("condition", cx)?;
                let result = condition.render_bool(&cx.context());
                cx.check(&node, result)
            });
            match is_met {
                Some(true) => {
                    components.extend(node.list("streams").into_iter().map(|n| (n.value.clone(), n.at.clone(), None)))
                }
                Some(false) => {}
                None => return Err(Failure::system(listed(&problems))),
            }
        }
        Ok(components)
    }

    /// The names of those.
    pub fn names(&self) -> Result<Vec<String>, Failure> {
        let names = self.written_out()?;
        Ok(names.iter().map(|(value, at, _)| stream::name_of(&Node::new(value, at.clone()))).collect())
    }

    /// A stream of a component that a resolver gave before.
    pub fn described(&self, component: &Value) -> Built {
        self.build(component, "dynamic_streams".to_owned(), None)
    }

    fn build(&self, component: &Value, at: String, definition: Option<String>) -> Built {
        let node = Node::new(component, at);
        let (compiled, mut problems) = self.compile(|cx| Stream::compile(&node, cx));
        for problem in &mut problems {
            problem.line = self.manifest.line_of(&problem.at);
        }
        let stream = match compiled {
            Some(stream) if problems.is_empty() => Ok(Arc::new(stream)),
            _ => Err(problems),
        };
        Built { name: stream::name_of(&node), component: component.clone(), definition, stream }
    }
}

impl<S: Deref<Target = Source>> Building<S> {
    pub fn of(source: S, wanted: Option<Vec<String>>) -> Result<Self, Failure> {
        let components = source.written_out()?;
        let needs_all = wanted.as_ref().is_none_or(|wanted| {
            wanted
                .iter()
                .any(|name| !components.iter().any(|(c, ..)| c.get("name").is_some_and(|n| n == name.as_str())))
        });
        Ok(Self { source, wanted, components, needs_all, next: 0, resolving: None })
    }
}

/// Streams on their way: some are described by answers of the source.
pub struct Building<S> {
    source: S,
    wanted: Option<Vec<String>>,
    components: Vec<(Value, String, Option<String>)>,
    needs_all: bool,
    next: usize,
    resolving: Option<Resolving>,
}

impl<S: Deref<Target = Source>> Building<S> {
    pub fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<Vec<Built>>, Failure> {
        let root = Node::root(self.source.root());
        let definitions = if self.needs_all { root.list("dynamic_streams") } else { Vec::new() };
        while let Some(definition) = definitions.get(self.next) {
            if self.resolving.is_none() {
                let (resolving, problems) = self.source.compile(|cx| Resolving::compile(definition, cx));
                self.resolving = match resolving {
                    Some(resolving) if problems.is_empty() => Some(resolving),
                    _ => return Err(Failure::system(listed(&problems))),
                };
            }
            let Some(resolving) = &mut self.resolving else { break };
            let resolved = ready!(resolving.step(session, now)?);
            self.resolving = None;
            let name = definition.value.get("name").map(crate::python::text_of).filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| format!("dynamic_stream_{}", self.next));
            for mut component in resolved {
                if let Some(members) = component.as_object_mut() {
                    members.entry("type").or_insert_with(|| "DeclarativeStream".into());
                }
                let Some(stream) = component.get("name").and_then(Value::as_str).map(str::to_owned) else {
                    return Err(Failure::system(format!("a stream of '{name}' has no name that is a text")));
                };
                if self
                    .components
                    .iter()
                    .any(|(known, _, from)| from.is_some() && known.get("name").is_some_and(|n| *n == stream))
                {
                    let is_configured =
                        definition.get("components_resolver").is_some_and(|r| r.kind() == "ConfigComponentsResolver");
                    let message = format!("two dynamic streams have the name '{stream}'; check the configuration");
                    return Err(if is_configured { Failure::config(message) } else { Failure::system(message) });
                }
                self.components.push((component, definition.at.clone(), Some(name.clone())));
            }
            self.next += 1;
        }
        Ok(Progress::Done(self.built()))
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        self.resolving.as_mut().map_or(Ok(()), |resolving| resolving.answer(session, now, answered))
    }

    fn built(&mut self) -> Vec<Built> {
        let mut values: Vec<Value> = self.components.iter().map(|(value, ..)| value.clone()).collect();
        stream::share_parents(&mut values);
        let mut out = Vec::new();
        for (value, (_, at, definition)) in values.iter().zip(&self.components) {
            let node = Node::new(value, at.clone());
            let name = stream::name_of(&node);
            if self.wanted.as_ref().is_some_and(|wanted| !wanted.contains(&name)) {
                continue;
            }
            out.push(self.source.build(value, at.clone(), definition.clone()));
        }
        out
    }
}

/// What a manifest needs before anything else of it is looked at.
fn check_shape(root: &Value, problems: &mut Vec<Problem>) {
    let node = Node::root(root);
    if node.kind() != "DeclarativeSource" {
        problems.push(Problem::manifest("type", "a manifest's type is 'DeclarativeSource'"));
    }
    match node.get("version") {
        Some(version) if version.value.is_string() => {}
        Some(version) => {
            problems.push(Problem::manifest(&version.at, "the version must be a text; put quotes around it"))
        }
        None => problems.push(Problem::manifest("", "a manifest needs 'version'")),
    }
    if node.get("check").is_none() {
        problems.push(Problem::manifest("", "a manifest needs 'check'"));
    }
    if node.get("streams").is_none() && node.get("dynamic_streams").is_none() {
        problems.push(Problem::manifest("", "a manifest needs 'streams' or 'dynamic_streams'"));
    }
    for name in ["streams", "dynamic_streams"] {
        if node.get(name).is_some_and(|list| !list.value.is_array()) {
            problems.push(Problem::manifest(name, "this must be a list"));
        }
    }
}

fn config_problem(failure: Failure) -> Problem {
    Problem::new(Kind::Config, "spec", failure.message)
}

/// All problems as one text.
pub fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
