//! An AWS emulator for tests: installed by itself, one for each test process, gone with it.
//!
//! Owns the emulator's process, how to reach it, and a wire before it on which anything can happen. Owns no table and no stack: tests make theirs, each in an
//! account of its own.
//!
//! Always holds: it listens on loopback alone, on a port that was free. It ends when the test process does, also
//! when that panics or is killed, because it reads from a pipe that ends then. Without Python, or where the packages
//! can't be had, a test says so and passes, unless `TEAL_REQUIRE_EMULATOR=1`.

pub mod install;
pub mod wire;

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use teal_aws::AwsClients;

const RUN: &str = include_str!("run.py");
const PATIENCE: Duration = Duration::from_secs(60);
pub const REGION: &str = "us-east-1";

/// A running emulator. Dropped, it is stopped.
pub struct Emulator {
    pub url: String,
    child: Child,
    talk: Mutex<(Option<ChildStdin>, BufReader<ChildStdout>)>,
    accounts: AtomicU64,
}

/// The emulator of this process, started by whoever asks first. `None`, and a line that says why, when there can't be
/// one: the test that asked has nothing to test.
pub fn shared() -> Option<&'static Emulator> {
    static SHARED: OnceLock<Result<Emulator, String>> = OnceLock::new();
    let why = match SHARED.get_or_init(Emulator::start) {
        Ok(emulator) => return Some(emulator),
        Err(why) => why,
    };
    let required = env::var("TEAL_REQUIRE_EMULATOR").is_ok_and(|value| value == "1");
    assert!(!required, "the AWS emulator is required (TEAL_REQUIRE_EMULATOR=1) and absent: {why}");
    eprintln!("skipped: the AWS emulator is absent: {why}");
    None
}

impl Emulator {
    pub fn start() -> Result<Self, String> {
        Self::start_with(&[])
    }

    /// With more of its own settings, such as `AUTH=true`, with which roles are enforced.
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, String> {
        let python = install::environment(install::EMULATOR)?;
        let port = free_port().map_err(|error| format!("no port of the loopback interface is free: {error}"))?;
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(python);
        command.arg("-u").arg("-c").arg(RUN).env_clear();
        command
            .envs(["PATH", "HOME", "TMPDIR", "LANG"].into_iter().filter_map(|name| Some((name, env::var(name).ok()?))));
        command.envs([
            ("BIND_HOST", "127.0.0.1"),
            ("MINISTACK_HOST", "127.0.0.1"),
            ("GATEWAY_PORT", &port.to_string()),
            ("SFTP_ENABLED", "0"),
            ("IOT_MTLS_ENABLED", "0"),
            ("LOG_LEVEL", "ERROR"),
            // What the Lambda functions that it runs are told.
            ("AWS_ENDPOINT_URL", &url),
        ]);
        command.envs(settings.iter().copied());
        // A group of its own: the functions that it runs end with it.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("the emulator does not start: {error}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the emulator has no pipes".to_owned());
        };
        let talk = Mutex::new((Some(stdin), BufReader::new(stdout)));
        // From here on, dropping it stops it.
        let emulator = Self { url, child, talk, accounts: AtomicU64::new(100_000_000_001) };
        emulator.wait_for_health(port)?;
        Ok(emulator)
    }

    fn wait_for_health(&self, port: u16) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if is_healthy(port).unwrap_or(false) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(format!("the emulator on port {port} is not healthy after {} s", PATIENCE.as_secs()))
    }

    /// What an SDK needs to be a caller of this account. Every account has tables, queues and secrets of its own;
    /// names of buckets are shared.
    #[must_use]
    pub fn new_account(&self) -> String {
        self.accounts.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Clients that call from an account.
    #[must_use]
    pub fn clients(&self, account: &str) -> Arc<AwsClients> {
        AwsClients::with(config(&self.url, account))
    }

    /// Kills every process in which it runs this function; how many there were.
    pub fn kill(&self, function: &str) -> usize {
        let named = format!("AWS_LAMBDA_FUNCTION_NAME={function}");
        let is_it = |pid: &String| {
            let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            variables.split(|byte| *byte == 0).any(|variable| variable == named.as_bytes())
        };
        let kill = |pid: &String| {
            let killed = Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status();
            killed.is_ok_and(|status| status.success())
        };
        self.functions().iter().filter(|pid| is_it(pid) && kill(pid)).count()
    }

    /// Processes of its group that are functions, by what Lambda calls their program.
    fn functions(&self) -> Vec<String> {
        let group = self.child.id().to_string();
        let stats = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = stats.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
        let of_group = stats.filter_map(|stat| {
            // Id, program, state, parent, group.
            let (id, rest) = stat.split_once(" (bootstrap) ")?;
            (rest.split(' ').nth(2) == Some(&group)).then(|| id.to_owned())
        });
        of_group.collect()
    }

    /// Puts the emulator's clock forward, for all of its accounts.
    pub fn pass(&self, span: Duration) {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let (stdin, stdout) = &mut *talk;
        let stdin = stdin.as_mut().expect("it is open until the emulator is dropped");
        writeln!(stdin, "pass {}", span.as_secs_f64()).expect("the emulator runs");
        let mut answer = String::new();
        while !answer.ends_with("passed\n") {
            assert!(stdout.read_line(&mut answer).expect("the emulator runs") > 0, "the emulator has ended");
        }
    }
}

/// A configuration that asks `url` for everything; the access key is the account.
#[must_use]
pub fn config(url: &str, account: &str) -> SdkConfig {
    // The emulator takes no other secret.
    let credentials = Credentials::new(account, "test", None, None, "emulator");
    AwsClients::settings()
        .endpoint_url(url)
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The end of the input ends its whole group.
        self.talk.get_mut().unwrap_or_else(PoisonError::into_inner).0 = None;
        let _ = self.child.wait();
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn is_healthy(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /_ministack/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    Ok(status.contains(" 200"))
}
