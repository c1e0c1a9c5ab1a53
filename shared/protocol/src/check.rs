//! `check`: whether the streams that the manifest names answer.

use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use teal_connect::failure::Failure;
use teal_connect::read::reader::Reader;
use teal_connect::source::check::Check;
use teal_connect::source::stream::Stream;
use teal_connect::source::{Built, listed};
use teal_connect::value::Value;

use crate::drive::drive;
use crate::{Stop, Work, problems};

impl<W: Write> Work<'_, W> {
    /// `None` when the connection is good, else why it is not.
    pub async fn check(&mut self) -> Result<Option<String>, Stop> {
        let check = Check::read(self.source.root(), &self.source.config).map_err(problems)?;
        check.review(self.source.root())?;
        if !check.overrides.is_empty() {
            self.override_config(&check)?;
        }
        let wanted = (check.first.is_none() && check.definitions.is_empty()).then(|| check.streams.clone());
        let built = match self.build(wanted).await {
            Ok(built) => built,
            Err(Stop::Failed(failure)) => return Ok(Some(format!("the streams can't be built: {failure}"))),
            Err(stop) => return Err(stop),
        };
        if built.is_empty() && check.streams.is_empty() {
            return Ok(Some("there are no streams to try".to_owned()));
        }
        if let Some(first) = check.first {
            if !check.asks {
                return Ok(None);
            }
            return self.try_all(built.iter().take(first.max(1))).await;
        }
        for name in &check.streams {
            let Some(found) = built.iter().find(|built| built.name == *name) else {
                let known: Vec<&str> = built.iter().map(|built| built.name.as_str()).collect();
                let known = known.join(", ");
                return Err(Failure::system(format!(
                    "the check names stream '{name}', which is not there; there are: {known}"
                ))
                .into());
            };
            if let Some(why) = self.try_all(std::iter::once(found)).await? {
                return Ok(Some(why));
            }
        }
        for (definition, count) in &check.definitions {
            let of: Vec<&Built> = built.iter().filter(|built| built.definition.as_ref() == Some(definition)).collect();
            let dynamic = self.source.root().get("dynamic_streams").and_then(Value::as_array);
            let is_known = dynamic.into_iter().flatten().enumerate().any(|(index, value)| {
                value
                    .get("name")
                    .map_or_else(|| format!("dynamic_stream_{index}") == *definition, |name| name == definition)
            });
            if !is_known {
                return Ok(Some(format!("the manifest has no dynamic stream '{definition}'")));
            }
            let why = self.try_all(of.into_iter().take(count.unwrap_or(usize::MAX))).await?;
            if why.is_some() {
                return Ok(why);
            }
        }
        Ok(None)
    }

    async fn try_all(&mut self, streams: impl Iterator<Item = &Built>) -> Result<Option<String>, Stop> {
        for built in streams {
            let name = &built.name;
            let why = match &built.stream {
                Err(problems) => Some(listed(problems)),
                Ok(stream) => match self.try_one(stream.clone()).await {
                    Ok(why) => why,
                    Err(Stop::Failed(failure)) => Some(failure.message),
                    Err(stop) => return Err(stop),
                },
            };
            if let Some(why) = why {
                return Ok(Some(format!("stream '{name}' is not available: {why}")));
            }
        }
        Ok(None)
    }

    /// Reads a stream as far as its first record.
    async fn try_one(&mut self, stream: Arc<Stream>) -> Result<Option<String>, Stop> {
        let state = self.source.states.get(&stream.name).cloned().unwrap_or(Value::Null);
        let mut reader = Reader::new(stream, &state, &self.session, Timestamp::now())?;
        let Some(mut run) = drive(&mut reader, &mut self.session, &self.client, &self.pace, self.out).await? else {
            return Ok(Some("it has no slices to read".to_owned()));
        };
        while let Some(page) = drive(&mut run, &mut self.session, &self.client, &self.pace, self.out).await? {
            if !page.is_empty() {
                break;
            }
        }
        Ok(None)
    }
}
