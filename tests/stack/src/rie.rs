//! A function's binary under AWS's own Runtime Interface Emulator, which comes with the SAM tools.
//!
//! Always holds: it listens on loopback alone, and ends with the value.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use teal::ports::Upstream;
use teal::ports::upstream::{Request, Response};
use teal_real::upstream::HttpUpstream;

use crate::stack::{binaries, understand};

pub struct Rie {
    url: String,
    child: Child,
    http: HttpUpstream,
}

/// The emulator's program, beside the other SAM tools.
#[must_use]
pub fn program(programs: &Path) -> Option<PathBuf> {
    let python = std::fs::read_dir(programs.parent()?.join("lib")).ok()?.flatten().next()?;
    let rapid = python.path().join("site-packages/samcli/local/rapid");
    let name = if cfg!(target_arch = "x86_64") { "aws-lambda-rie-x86_64" } else { "aws-lambda-rie-arm64" };
    Some(rapid.join(name)).filter(|program| program.exists())
}

impl Rie {
    /// Starts a function with these variables and no others.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(program: &Path, function: &str, environment: &BTreeMap<String, String>) -> Self {
        let port = |listener: TcpListener| listener.local_addr().expect("it is bound").port();
        // Both at the same time, so that they are two.
        let free = || TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let (one, other) = (free(), free());
        let (port, other) = (port(one), port(other));
        let child = Command::new(program)
            .args(["--log-level", "error", "--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{other}")])
            .arg(binaries().join(function))
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("HOME", "/tmp"), ("AWS_LAMBDA_FUNCTION_NAME", function)])
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "60")
            .envs(environment)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("the emulator starts");
        let url = format!("http://127.0.0.1:{port}/2015-03-31/functions/function/invocations");
        let rie = Self { url, child, http: HttpUpstream::new().expect("HTTP works") };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "the emulator of {function} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        rie
    }

    pub async fn invoke(&self, event: &Json) -> Result<Json, (String, String)> {
        let request = Request {
            method: http::Method::POST,
            url: self.url.clone(),
            headers: Vec::new(),
            body: event.to_string().into(),
            timeout: Duration::from_secs(90),
            max_body: 8 << 20,
        };
        let answer: Response = self.http.send(request).await.expect("the emulator answers");
        understand(&answer)
    }
}

impl Drop for Rie {
    fn drop(&mut self) {
        // The function is its child, in its group.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.child.wait();
    }
}
