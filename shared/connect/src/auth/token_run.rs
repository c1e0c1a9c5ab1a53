//! Fetching what an authenticator needs, request by request.
//!
//! Always holds: while one of these is at work for an authenticator, no other is.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use teal::ports::upstream::Response;

use super::{Auth, legacy::Legacy, many::ManyTokens, oauth::OAuth, session_token::SessionToken};
use crate::failure::Failure;
use crate::http::Ask;
use crate::read::fetch::{Answered, Fetch, Fetched};
use crate::read::{Need, Progress};
use crate::session::Session;

/// How long a token request that meets a fault is tried again.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct TokenRun {
    what: What,
    tries: u32,
    waited: Duration,
    wait: Option<Duration>,
}

#[derive(Debug)]
enum What {
    OAuth(Arc<OAuth>),
    Session(Arc<SessionToken>, Box<Fetch>),
    LegacyCheck(Arc<Legacy>),
    LegacyLogin(Arc<Legacy>),
    Many(Arc<ManyTokens>, usize),
    Done,
}

impl TokenRun {
    pub fn new(auth: &Auth) -> Self {
        let what = match auth {
            Auth::OAuth(auth) => What::OAuth(auth.clone()),
            Auth::Session(auth) => What::Session(auth.clone(), Box::new(Fetch::new(auth.login.clone(), None))),
            Auth::Legacy(auth) => What::LegacyCheck(auth.clone()),
            Auth::Many(auth) => What::Many(auth.clone(), 0),
            _ => What::Done,
        };
        Self { what, tries: 0, waited: Duration::ZERO, wait: None }
    }

    fn id(&self) -> Option<&str> {
        match &self.what {
            What::OAuth(auth) => Some(&auth.id),
            What::Session(auth, _) => Some(&auth.id),
            What::LegacyCheck(auth) | What::LegacyLogin(auth) => Some(&auth.id),
            What::Many(auth, _) => Some(&auth.id),
            What::Done => None,
        }
    }

    /// Lets others try, whatever came of this one.
    pub fn release(&self, session: &mut Session) {
        if let Some(id) = self.id() {
            session.fetching.remove(id);
        }
    }

    pub fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<()>, Failure> {
        if let Some(wait) = self.wait.take() {
            self.waited += wait;
            return Ok(Progress::Need(Need::Wait(wait)));
        }
        let ask: Ask = match &mut self.what {
            What::Done => return Ok(Progress::Done(())),
            What::OAuth(auth) => auth.ask(session, now)?,
            What::Session(auth, fetch) => match fetch.step(session, now)? {
                Progress::Need(need) => return Ok(Progress::Need(need)),
                Progress::Done(Fetched::Page(response)) if response.status < 400 => {
                    let auth = auth.clone();
                    auth.accept(&response, session, now)?;
                    return self.finish(session);
                }
                Progress::Done(_) => {
                    return Err(Failure::system("the login was refused, so there is no session token"));
                }
            },
            What::LegacyCheck(auth) => match auth.ask_whether_valid(session, now)? {
                Some(ask) => ask,
                None => {
                    let auth = auth.clone();
                    let ask = auth.ask_for_one(session, now)?;
                    self.what = What::LegacyLogin(auth);
                    ask
                }
            },
            What::LegacyLogin(auth) => auth.ask_for_one(session, now)?,
            What::Many(auth, index) => auth.ask(session, now, *index)?,
        };
        Ok(Progress::Need(Need::Ask(Box::new(ask))))
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        if let What::Session(_, fetch) = &mut self.what {
            return fetch.answer(session, now, answered);
        }
        let response = match answered {
            Ok(response) if response.status == 429 || response.status >= 500 => {
                let status = response.status;
                return self.again(Failure::transient(format!("the token request was answered with status {status}")));
            }
            Ok(response) => response,
            Err(fault) => return self.again(Failure::transient(format!("the token request failed: {fault}"))),
        };
        self.accept(&response, session, now)
    }

    fn accept(&mut self, response: &Response, session: &mut Session, now: Timestamp) -> Result<(), Failure> {
        match &mut self.what {
            What::OAuth(auth) if response.status >= 400 => return Err(auth.refuse(response)),
            What::OAuth(auth) => auth.accept(response, session, now)?,
            What::LegacyCheck(auth) if response.status == 401 => {
                self.what = What::LegacyLogin(auth.clone());
                return Ok(());
            }
            What::LegacyCheck(_) if response.status >= 400 => {
                let status = response.status;
                return Err(Failure::system(format!("asking whether the session is valid was answered with {status}")));
            }
            What::LegacyCheck(auth) => auth.keep_configured(session, now)?,
            What::LegacyLogin(auth) => auth.accept(response, session, now)?,
            What::Many(auth, index) => {
                auth.accept(response, session, *index, now)?;
                *index += 1;
                if *index < auth.count(session) {
                    return Ok(());
                }
            }
            What::Session(..) | What::Done => {}
        }
        self.finish(session).map(|_| ())
    }

    fn finish(&mut self, session: &mut Session) -> Result<Progress<()>, Failure> {
        self.release(session);
        self.what = What::Done;
        Ok(Progress::Done(()))
    }

    fn again(&mut self, failure: Failure) -> Result<(), Failure> {
        let wait = Duration::from_secs(1 << self.tries.min(8));
        if self.waited + wait > PATIENCE {
            return Err(failure);
        }
        self.tries += 1;
        self.wait = Some(wait);
        Ok(())
    }
}
