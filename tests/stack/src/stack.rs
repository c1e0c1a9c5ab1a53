//! The whole stack on an emulator: the project's own template with the project's own binaries.
//!
//! Owns building and packing them, and how a test reaches what runs. Owns no assertion.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use teal::ports::Upstream;
use teal::ports::upstream::{HeaderValue, Request, Response};
use teal_emulator::Emulator;
use teal_real::upstream::HttpUpstream;

use crate::events::SECRETS;
use crate::tools::forget_cargo;
use crate::{FUNCTIONS, root};

/// Who the tests are: the emulator looks at the name of its root user, not at the signature.
const ROOT: &str = "AWS4-HMAC-SHA256 Credential=test/20261125/us-east-1/lambda/aws4_request, SignedHeaders=host, \
                    Signature=0";

pub struct Stack {
    pub emulator: &'static Emulator,
    pub outputs: BTreeMap<String, String>,
    /// Each function's variables, by its logical name.
    pub environment: BTreeMap<String, BTreeMap<String, String>>,
    http: HttpUpstream,
}

#[derive(Deserialize)]
struct Deployed {
    outputs: BTreeMap<String, String>,
    environment: BTreeMap<String, BTreeMap<String, String>>,
}

impl Stack {
    /// `None` where there is no emulator. Panics, as all of these do, when what should work does not.
    #[must_use]
    pub fn create(name: &str, parameters: &[(&str, &str)]) -> Option<Self> {
        Some(Self::create_on(teal_emulator::shared()?, name, parameters))
    }

    /// On an emulator that is there.
    #[must_use]
    pub fn create_on(emulator: &'static Emulator, name: &str, parameters: &[(&str, &str)]) -> Self {
        let expanded =
            Command::new(python()).args(["infra/sam_expand.py", "template.yaml"]).current_dir(root()).output();
        let expanded = expanded.expect("the template can be expanded");
        assert!(expanded.status.success(), "{}", String::from_utf8_lossy(&expanded.stderr));
        let template: Json = serde_json::from_slice(&expanded.stdout).expect("what is printed is JSON");
        let parameters: BTreeMap<_, _> = parameters.iter().copied().collect();
        let secrets: BTreeMap<_, _> = SECRETS.into_iter().collect();
        let asked = json!({
            "url": emulator.url, "name": name, "template": template, "zips": zips(), "parameters": parameters,
            "secrets": secrets,
        });
        let Deployed { outputs, environment } =
            serde_json::from_value(script(include_str!("deploy.py"), &asked)).expect("it prints what it made");
        Self { emulator, outputs, environment, http: HttpUpstream::new().expect("HTTP works") }
    }

    /// What a function is called where it is deployed.
    #[must_use]
    pub fn function(&self, function: &str) -> &str {
        &self.outputs[&format!("{}FunctionName", capitalized(function))]
    }

    /// What a function has logged, for whoever wants to know why.
    #[must_use]
    pub fn log(&self, function: &str) -> String {
        let name = self.function(function);
        let asked = json!({ "url": self.emulator.url, "name": name });
        script(include_str!("log.py"), &asked).as_str().unwrap_or_default().to_owned()
    }

    /// Lets a function run the code of another one, under its own role.
    pub fn swap_code(&self, function: &str, code: &str) {
        let mut like = self.variables(code);
        like.retain(|name, _| name.starts_with("TEAL_"));
        self.change(function, json!({ "set": like, "zip": zips()[code] }));
    }

    /// Sets variables of a function. Its processes end, and others take their place.
    pub fn set(&self, function: &str, variables: &[(&str, &str)]) {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        self.change(function, json!({ "set": variables }));
    }

    /// Takes everything from a function's role, or gives it these policies; gives those that it had.
    pub fn permit(&self, function: &str, policies: &Json) -> Json {
        self.change(function, json!({ "policies": policies }))
    }

    fn change(&self, function: &str, what: Json) -> Json {
        let name = self.function(function);
        let mut asked = json!({ "url": self.emulator.url, "name": name, "set": {}, "zip": null, "policies": null });
        asked.as_object_mut().expect("it is one").extend(what.as_object().expect("what to change").clone());
        script(include_str!("change.py"), &asked)
    }

    /// What a function finds in its environment, and where its services are.
    #[must_use]
    pub fn variables(&self, function: &str) -> BTreeMap<String, String> {
        let mut variables = self.environment[&format!("{}Function", capitalized(function))].clone();
        let aws = [
            ("AWS_ENDPOINT_URL", self.emulator.url.as_str()),
            ("AWS_REGION", teal_emulator::REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        variables.extend(aws.map(|(name, value)| (name.to_owned(), value.to_owned())));
        variables
    }

    /// The HTTP API's address, as the emulator has it.
    #[must_use]
    pub fn api(&self) -> String {
        let url = &self.outputs["ApiUrl"];
        let id = url.trim_start_matches("https://").split('.').next().unwrap_or_default();
        format!("{}/_aws/execute-api/{id}", self.emulator.url)
    }

    /// Invokes a function and waits for what it says: its answer, or its error's type and message.
    pub async fn invoke(&self, function: &str, event: &Json) -> Result<Json, (String, String)> {
        let name = self.function(function);
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.emulator.url);
        let answer = self.send("POST", url, &[("authorization", ROOT)], &event.to_string()).await;
        understand(&answer)
    }

    pub async fn send(&self, method: &str, url: String, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), HeaderValue::Plain((*value).to_owned())));
        let request = Request {
            method: method.parse().expect("a method"),
            url,
            headers: headers.collect(),
            body: body.to_owned().into(),
            timeout: Duration::from_secs(60),
            max_body: 64 << 20,
        };
        self.http.send(request).await.expect("the emulator answers")
    }

    /// A question to the admin API, over HTTP. One whose function was killed meanwhile is asked again.
    pub async fn admin(&self, path: &str) -> Json {
        let token = format!("Bearer {}", SECRETS[2].1);
        let url = format!("{}/admin/{path}", self.api());
        let mut answer = self.send("GET", url.clone(), &[("authorization", &token)], "").await;
        for _ in 0..5 {
            if answer.status != 502 {
                break;
            }
            answer = self.send("GET", url.clone(), &[("authorization", &token)], "").await;
        }
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).expect("admin answers JSON")
    }
}

/// The emulator's Python.
fn python() -> PathBuf {
    teal_emulator::install::environment(teal_emulator::install::EMULATOR).expect("the emulator runs in it")
}

/// Runs a script that reads JSON and prints some.
fn script(text: &str, asked: &Json) -> Json {
    let mut child = Command::new(python())
        .args(["-c", text])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("Python starts");
    child.stdin.take().expect("it is piped").write_all(asked.to_string().as_bytes()).expect("it reads");
    let done = child.wait_with_output().expect("it ends");
    assert!(done.status.success(), "the script failed; it said why above");
    serde_json::from_slice(&done.stdout).expect("it prints JSON")
}

fn capitalized(name: &str) -> String {
    format!("{}{}", name[..1].to_uppercase(), &name[1..])
}

/// What came back from an invocation: an error has a type and a message, and the status of a success.
pub fn understand(answer: &Response) -> Result<Json, (String, String)> {
    let json: Json = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| panic!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
    match (json["errorType"].as_str(), json["errorMessage"].as_str()) {
        (Some(kind), message) => Err((kind.to_owned(), message.unwrap_or_default().to_owned())),
        (None, _) => {
            assert!(answer.status < 300, "status {}: {json}", answer.status);
            Ok(json)
        }
    }
}

/// The functions' binaries, built once a process the way the tests themselves are.
pub fn binaries() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--message-format=json-render-diagnostics"]).current_dir(root());
        forget_cargo(&mut build);
        for function in FUNCTIONS {
            build.arg("-p").arg(format!("teal-{function}"));
        }
        let built = build.stderr(Stdio::inherit()).output().expect("cargo runs, it runs this test");
        assert!(built.status.success(), "the functions can't be built");
        let text = String::from_utf8_lossy(&built.stdout);
        let mut executables = text.lines().filter_map(|line| {
            let message: Json = serde_json::from_str(line).ok()?;
            message["executable"].as_str().map(PathBuf::from)
        });
        let one = executables.next().expect("cargo names what it built");
        one.parent().expect("it is in a folder").to_owned()
    })
}

/// The functions as Lambda wants them, packed once a process: tests run side by side.
fn zips() -> &'static BTreeMap<&'static str, PathBuf> {
    static PACKED: OnceLock<BTreeMap<&'static str, PathBuf>> = OnceLock::new();
    PACKED.get_or_init(|| {
        let folder = binaries().join("lambda");
        std::fs::create_dir_all(&folder).expect("a folder for the zips");
        let pack = |function: &'static str| {
            let path = folder.join(format!("{function}.zip"));
            let packed = Command::new("python3")
                .args(["-c", include_str!("zip.py")])
                .arg(binaries().join(function))
                .stdout(File::create(&path).expect("the zip can be written"))
                .status();
            assert!(packed.expect("Python starts").success());
            (function, path)
        };
        FUNCTIONS.into_iter().map(pack).collect()
    })
}
