//! A configuration on disk, and the built command in its folder.

#![allow(dead_code, reason = "each test file that has this uses its own part")]

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value as Json;
use tempfile::TempDir;

const CONNECTOR: &str = include_str!("../../../connectors/nowrep-blue.yaml");

/// A folder with a system in it.
pub struct Trial {
    pub dir: TempDir,
    pub url: String,
}

impl Trial {
    pub fn new(yaml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("teal.yaml"), yaml).unwrap();
        std::fs::write(dir.path().join("blue.yaml"), CONNECTOR).unwrap();
        Self { dir, url: "http://127.0.0.1:1".to_owned() }
    }

    /// As the file of that name under `.teal/secrets`.
    pub fn secret(&self, name: &str, secret: &str) {
        let dir = self.dir.path().join(".teal/secrets");
        std::fs::create_dir_all(&dir).unwrap();
        self.write_secret(&dir.join(name), secret);
    }

    fn write_secret(&self, path: &Path, secret: &str) {
        std::fs::write(path, secret).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teal"));
        command.args(args).current_dir(self.dir.path()).env("BLUE_URL", &self.url).env("NO_COLOR", "1");
        command.env_remove("TEAL_DATA").env_remove("TEAL_LOG").env_remove("TEAL_SECRET_BLUE_API_KEY");
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }
}

#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The one line of JSON that stdout is.
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A `teal dev` that answers, until it is dropped.
pub struct Dev {
    child: Child,
    pub hello: Json,
    pub told: Lines<BufReader<ChildStdout>>,
}

impl Trial {
    pub fn dev(&self) -> Dev {
        let mut command = self.command(&["dev", "--json", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let hello: Json = serde_json::from_str(&told.next().unwrap().unwrap()).unwrap();
        assert_eq!(hello["event"], "ready", "{hello}");
        Dev { child, hello, told }
    }
}

impl Dev {
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.hello["api"].as_str().unwrap())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
