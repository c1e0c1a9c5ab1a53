//! Messages of the protocol, one JSON object a line.

use std::io::{self, Write};

use jiff::Timestamp;
use teal_connect::failure::Failure;
use teal_connect::read::record::Record;
use teal_connect::session::{Level, Notice};
use teal_connect::source::secrets::Secrets;
use teal_connect::value::{Map, Value, json};

/// So much is gathered before it is written.
const GATHERED: usize = 64 * 1024;

pub struct Messages<W: Write> {
    out: W,
    line: Vec<u8>,
    pub secrets: Secrets,
}

impl<W: Write> Messages<W> {
    pub fn new(out: W) -> Self {
        Self { out, line: Vec::with_capacity(2 * GATHERED), secrets: Secrets::default() }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.line)?;
        self.line.clear();
        self.out.flush()
    }

    fn end(&mut self) -> io::Result<()> {
        self.line.push(b'\n');
        if self.line.len() >= GATHERED {
            self.out.write_all(&self.line)?;
            self.line.clear();
        }
        Ok(())
    }

    pub fn send(&mut self, message: &Value) -> io::Result<()> {
        serde_json::to_writer(&mut self.line, message)?;
        self.end()
    }

    /// Text for people.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.line.extend(self.secrets.redact(text).into_bytes());
        self.flush()
    }

    /// The fixed parts of a stream's record messages.
    pub fn frame(stream: &str, namespace: Option<&str>) -> Vec<u8> {
        let mut out = b"{\"type\":\"RECORD\",\"record\":{".to_vec();
        if let Some(namespace) = namespace {
            out.extend(format!("\"namespace\":{},", Value::from(namespace)).into_bytes());
        }
        out.extend(format!("\"stream\":{},\"data\":", Value::from(stream)).into_bytes());
        out
    }

    /// What follows the records of one moment.
    pub fn tail(now: Timestamp) -> Vec<u8> {
        format!(",\"emitted_at\":{}}}}}", now.as_millisecond()).into_bytes()
    }

    pub fn record(&mut self, frame: &[u8], record: &Record, tail: &[u8]) -> io::Result<()> {
        self.line.extend_from_slice(frame);
        record.write(&mut self.line);
        self.line.extend_from_slice(tail);
        self.end()
    }

    pub fn log(&mut self, level: Level, text: &str) -> io::Result<()> {
        let level = match level {
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        };
        self.send(&json!({"type": "LOG", "log": {"level": level, "message": self.secrets.redact(text)}}))
    }

    pub fn status(&mut self, stream: &str, status: &str, reason: Option<&str>, now: Timestamp) -> io::Result<()> {
        let mut about = Map::new();
        about.insert("stream_descriptor".to_owned(), json!({"name": stream}));
        about.insert("status".to_owned(), status.into());
        if let Some(reason) = reason {
            about.insert("reasons".to_owned(), json!([{"type": reason}]));
        }
        let at = now.as_millisecond() as f64;
        self.send(
            &json!({"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": at, "stream_status": about}}),
        )
    }

    pub fn error(&mut self, failure: &Failure, stream: Option<&str>, now: Timestamp) -> io::Result<()> {
        let mut error = Map::new();
        let message = self.secrets.redact(&failure.message);
        error.insert("message".to_owned(), message.clone().into());
        error.insert("internal_message".to_owned(), message.into());
        error.insert("failure_type".to_owned(), failure.kind.as_str().into());
        if let Some(stream) = stream {
            error.insert("stream_descriptor".to_owned(), json!({"name": stream}));
        }
        let at = now.as_millisecond() as f64;
        self.send(&json!({"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": at, "error": error}}))
    }

    pub fn state(&mut self, stream: &str, namespace: Option<&str>, state: &Value, records: u64) -> io::Result<()> {
        let mut about = Map::new();
        about.insert("name".to_owned(), stream.into());
        about.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace.into())));
        self.send(&json!({"type": "STATE", "state": {
            "type": "STREAM",
            "stream": {"stream_descriptor": about, "stream_state": state},
            "sourceStats": {"recordCount": records as f64},
        }}))
    }

    pub fn notice(&mut self, notice: &Notice, now: Timestamp) -> io::Result<()> {
        match notice {
            Notice::Log { level, text } => self.log(*level, text),
            Notice::RateLimited { stream } => self.status(stream, "RUNNING", Some("RATE_LIMITED"), now),
            Notice::Config(config) => self.config(config, now),
            Notice::State { stream, state } => self.state(stream, None, state, 0),
        }
    }

    pub fn config(&mut self, config: &Value, now: Timestamp) -> io::Result<()> {
        let at = now.as_millisecond() as f64;
        self.send(&json!({"type": "CONTROL", "control": {
            "type": "CONNECTOR_CONFIG", "emitted_at": at, "connectorConfig": {"config": config},
        }}))
    }

    pub fn connection(&mut self, failure: Option<&str>) -> io::Result<()> {
        let status = match failure {
            None => json!({"status": "SUCCEEDED"}),
            Some(why) => json!({"status": "FAILED", "message": self.secrets.redact(why)}),
        };
        self.send(&json!({"type": "CONNECTION_STATUS", "connectionStatus": status}))
    }
}
