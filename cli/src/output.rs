//! Where results and remarks go. Results on stdout; everything else on stderr.
//!
//! Always holds: with `--json` stdout holds JSON lines and nothing else; colors appear only on a terminal
//! whose user did not refuse them.

use std::io::{self, IsTerminal, Write};

use serde_json::Value as Json;

use crate::args::Global;

#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
    pub color: bool,
    /// Whether progress may move on the screen.
    pub live: bool,
}

impl Output {
    pub fn new(global: &Global) -> Self {
        let may_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json: global.json,
            quiet: global.quiet,
            color: may_color && io::stdout().is_terminal(),
            live: io::stderr().is_terminal() && !global.quiet,
        }
    }

    /// One result: as JSON, or in words.
    pub fn result(&self, json: &Json, words: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = if self.json { json.to_string() } else { words() };
        self.line(&text)
    }

    pub fn line(&self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
            // Whoever read us has seen enough, as `head` has.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            other => Ok(other?),
        }
    }

    /// For people who watch.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
