//! The configured catalog: which streams are wanted, and how.

use crate::value::Value;

#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub streams: Vec<Configured>,
}

#[derive(Clone, Debug)]
pub struct Configured {
    pub name: String,
    pub namespace: Option<String>,
    pub schema: Value,
    pub is_incremental: bool,
    pub cursor_field: Vec<String>,
}

impl Catalog {
    pub fn read(value: &Value) -> Result<Self, String> {
        let streams = value.get("streams").and_then(Value::as_array).ok_or("the catalog has no list 'streams'")?;
        let streams = streams.iter().enumerate().map(|(index, configured)| {
            let stream = configured.get("stream").unwrap_or(&Value::Null);
            let name = stream.get("name").and_then(Value::as_str);
            let cursor = configured.get("cursor_field").and_then(Value::as_array).into_iter().flatten();
            Ok(Configured {
                name: name
                    .ok_or_else(|| format!("streams[{index}] of the catalog has no stream with a name"))?
                    .to_owned(),
                namespace: stream.get("namespace").and_then(Value::as_str).map(str::to_owned),
                schema: stream.get("json_schema").cloned().unwrap_or(Value::Null),
                is_incremental: configured.get("sync_mode").is_some_and(|mode| mode == "incremental"),
                cursor_field: cursor.filter_map(|step| step.as_str().map(str::to_owned)).collect(),
            })
        });
        Ok(Self { streams: streams.collect::<Result<_, String>>()? })
    }

    fn find(&self, stream: &str) -> Option<&Configured> {
        self.streams.iter().find(|configured| configured.name == stream)
    }

    pub fn cursor_field(&self, stream: &str) -> Option<&[String]> {
        self.find(stream).map(|configured| configured.cursor_field.as_slice()).filter(|path| !path.is_empty())
    }

    pub fn schema(&self, stream: &str) -> Option<&Value> {
        self.find(stream).map(|configured| &configured.schema)
    }
}
