//! Stepping a machine until it is done, alone.

use std::io::Write;

use jiff::Timestamp;
use teal_connect::failure::Failure;
use teal_connect::read::fetch::Answered;
use teal_connect::read::reader::{Reader, Run, Sample};
use teal_connect::read::record::Record;
use teal_connect::read::{Need, Progress};
use teal_connect::schema::Schema;
use teal_connect::session::Session;
use teal_connect::source::{Building, Built};

use crate::client::Client;
use crate::messages::Messages;
use crate::{Pace, Stop};

/// Something that is stepped.
pub trait Machine {
    type Done;
    fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<Self::Done>, Failure>;
    fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure>;
}

macro_rules! machine {
    ($name:ty, $done:ty, $step:ident) => {
        impl Machine for $name {
            type Done = $done;
            fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<$done>, Failure> {
                self.$step(session, now)
            }
            fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
                self.answer(session, now, answered)
            }
        }
    };
}
machine!(Building<&teal_connect::source::Source>, Vec<Built>, step);
machine!(Sample, Vec<Record>, step);
machine!(Reader, Option<Run>, next);
machine!(Run, Option<Vec<Record>>, step);

/// A schema that may have to be asked for.
pub struct Asked<'a> {
    pub schema: &'a Schema,
    pub sample: Option<Box<Sample>>,
}

impl Machine for Asked<'_> {
    type Done = ();

    fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<()>, Failure> {
        self.schema.prepare(&mut self.sample, session, now)
    }

    fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        self.sample.as_mut().map_or(Ok(()), |sample| sample.answer(session, now, answered))
    }
}

/// Steps a machine to its end, sending and waiting as it needs.
pub async fn drive<M: Machine, W: Write>(
    machine: &mut M,
    session: &mut Session,
    client: &Client,
    pace: &Pace,
    out: &mut Messages<W>,
) -> Result<M::Done, Stop> {
    loop {
        let now = Timestamp::now();
        let stepped = machine.step(session, now);
        for notice in std::mem::take(&mut session.notices) {
            out.notice(&notice, now)?;
        }
        match stepped? {
            Progress::Done(done) => return Ok(done),
            Progress::Need(Need::Ask(ask)) => {
                out.secrets.add_request(&ask.request);
                let answered = client.send(&ask).await;
                machine.answer(session, Timestamp::now(), answered)?;
            }
            Progress::Need(Need::Wait(wait)) => pace.wait(wait).await,
            Progress::Need(Need::Blocked) => {
                return Err(Failure::system(
                    "a request waits for another one that nobody sends; this is a defect of Teal",
                )
                .into());
            }
        }
    }
}
