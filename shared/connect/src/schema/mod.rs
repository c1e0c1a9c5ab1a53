//! Schemas of streams: written in the manifest, in a file beside it, asked for, or put together of those.

mod combine;
mod dynamic;
mod files;

use std::borrow::Cow;

use crate::value::{Map, Value};
use jiff::Timestamp;

pub use dynamic::Dynamic;

use crate::failure::Failure;
use crate::node::{Compiler, Node};
use crate::read::reader::Sample;
use crate::read::{Progress, ready};
use crate::session::Session;

#[derive(Debug)]
pub enum Schema {
    Fixed(Value),
    /// Why there is none.
    Missing(String),
    Dynamic(Box<Dynamic>),
    Composite(Vec<Schema>),
}

impl Schema {
    pub fn empty() -> Self {
        Self::Fixed(Value::Object(Map::new()))
    }

    pub fn compile(stream: &Node, name: &str, cx: &mut Compiler) -> Option<Self> {
        match stream.get("schema_loader") {
            None => {
                let parameters = stream.parameters();
                let name = parameters.get("name").map_or_else(|| name.to_owned(), crate::python::text_of);
                Some(match files::read(&format!("schemas/{name}.json"), cx.files) {
                    Ok(schema) => Self::Fixed(schema),
                    Err(_) => Self::empty(),
                })
            }
            Some(loader) if loader.value.is_array() => {
                let loaders: Option<Vec<_>> = loader.items().iter().map(|loader| Self::one(loader, name, cx)).collect();
                loaders.map(Self::Composite)
            }
            Some(loader) => Self::one(&loader, name, cx),
        }
    }

    fn one(node: &Node, name: &str, cx: &mut Compiler) -> Option<Self> {
        match node.kind() {
            "InlineSchemaLoader" => {
                let schema =
                    node.get("schema").map_or_else(|| Value::Object(Map::new()), |schema| schema.value.clone());
                Some(Self::Fixed(schema))
            }
            "JsonFileSchemaLoader" => {
                let path = match node.get("file_path") {
                    Some(at) => cx.evaluate_text(&at, &node.parameters())?,
                    None => {
                        let parameters = node.parameters();
                        let name = parameters.get("name").map_or_else(|| name.to_owned(), crate::python::text_of);
                        format!("schemas/{name}.json")
                    }
                };
                Some(match files::read(&path, cx.files) {
                    Ok(schema) => Self::Fixed(schema),
                    Err(why) => Self::Missing(why),
                })
            }
            "DynamicSchemaLoader" => Dynamic::compile(node, cx).map(Box::new).map(Self::Dynamic),
            _ => {
                cx.unknown(node, "schema loader");
                None
            }
        }
    }

    /// Whether it has to be asked for.
    pub fn is_asked_for(&self) -> bool {
        match self {
            Self::Fixed(_) | Self::Missing(_) => false,
            Self::Dynamic(_) => true,
            Self::Composite(schemas) => schemas.iter().any(Self::is_asked_for),
        }
    }

    /// Asks for what is not known yet, with a sample that its caller holds.
    pub fn prepare(
        &self,
        sample: &mut Option<Box<Sample>>,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Progress<()>, Failure> {
        match self {
            Self::Fixed(_) | Self::Missing(_) => {}
            Self::Dynamic(dynamic) => {
                if session.facts.contains_key(&dynamic.id) {
                    return Ok(Progress::Done(()));
                }
                if sample.is_none() {
                    *sample = Some(Box::new(Sample::new(dynamic.stream.clone(), Some(1), session, now)?));
                }
                if let Some(sample) = sample {
                    let records = ready!(sample.step(session, now)?);
                    let schema = dynamic.schema(records.first(), session, now)?;
                    session.facts.insert(dynamic.id.clone(), schema);
                }
                *sample = None;
            }
            Self::Composite(schemas) => {
                for schema in schemas {
                    ready!(schema.prepare(sample, session, now)?);
                }
            }
        }
        Ok(Progress::Done(()))
    }

    /// The schema, as far as it is known.
    pub fn known<'a>(&'a self, session: &'a Session) -> Option<Cow<'a, Value>> {
        match self {
            Self::Fixed(schema) => Some(Cow::Borrowed(schema)),
            Self::Missing(_) => None,
            Self::Dynamic(dynamic) => session.facts.get(&dynamic.id).map(Cow::Borrowed),
            Self::Composite(schemas) => {
                let schemas: Option<Vec<_>> = schemas.iter().map(|schema| schema.known(session)).collect();
                Some(Cow::Owned(combine::combine(schemas?.iter().map(AsRef::as_ref))))
            }
        }
    }

    /// Why there can't be one.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Missing(why) => Some(Failure::system(why.clone())),
            Self::Composite(schemas) => schemas.iter().find_map(Self::failure),
            Self::Fixed(_) | Self::Dynamic(_) => None,
        }
    }
}
