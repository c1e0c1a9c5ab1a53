//! Somebody else's system, played by a closure.

use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use teal::ports::fault::FaultKind;
use teal::ports::upstream::{Request, Response};
use teal::ports::{Fault, Upstream};

use super::lock;

type Script = Box<dyn FnMut(&Request) -> Result<Response, Fault> + Send>;

/// Answers by its script and keeps every request that came.
pub struct ScriptedUpstream {
    state: Mutex<State>,
}

struct State {
    script: Script,
    requests: Vec<Request>,
}

impl ScriptedUpstream {
    pub fn new(script: impl FnMut(&Request) -> Result<Response, Fault> + Send + 'static) -> Self {
        Self { state: Mutex::new(State { script: Box::new(script), requests: Vec::new() }) }
    }

    /// From now on answers by another script; what came so far stays counted.
    pub fn script(&self, script: impl FnMut(&Request) -> Result<Response, Fault> + Send + 'static) {
        lock(&self.state).script = Box::new(script);
    }

    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.state).requests.len()
    }

    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state).requests.clone()
    }
}

/// Refuses every request: a test that expects one has to say what the answer is.
impl Default for ScriptedUpstream {
    fn default() -> Self {
        Self::new(|request| {
            Err(Fault::new(FaultKind::Permanent, format!("no script answers {} {}", request.method, request.url)))
        })
    }
}

impl fmt::Debug for ScriptedUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedUpstream").field("requests", &self.count()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Upstream for ScriptedUpstream {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let mut state = lock(&self.state);
        let answer = (state.script)(&request);
        state.requests.push(request);
        match answer {
            Ok(response) if response.body.len() > request_limit(&state) => Err(Fault::new(
                FaultKind::Permanent,
                format!("the answer has {} bytes, more than the request allows", response.body.len()),
            )),
            answer => answer,
        }
    }
}

fn request_limit(state: &State) -> usize {
    state.requests.last().map_or(usize::MAX, |request| request.max_body)
}
