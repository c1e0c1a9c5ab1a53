//! `preview`: for people, what becomes of a stream's first pages: the request, its answer, what was taken out of
//! it, and what is left after filters and transformations.

use std::fmt::Write as _;
use std::io::Write;

use jiff::Timestamp;
use teal::ports::upstream::HeaderValue;
use teal_connect::failure::Failure;
use teal_connect::http::{Ask, Purpose};
use teal_connect::read::fetch::Answered;
use teal_connect::read::reader::Reader;
use teal_connect::read::{Need, Progress};
use teal_connect::session::Shown;
use teal_connect::source::listed;
use teal_connect::value::Value;

use crate::{Stop, Work};

/// How much of a body or a record is shown.
const EXCERPT: usize = 400;

impl<W: Write> Work<'_, W> {
    pub async fn preview(&mut self, stream: Option<&str>, pages: usize) -> Result<u8, Stop> {
        let built = self.build(stream.map(|name| vec![name.to_owned()])).await?;
        let Some(built) = built.into_iter().next() else {
            let name = stream.unwrap_or_default();
            return Err(Failure::config(format!("the source has no stream '{name}'")).into());
        };
        let stream = built.stream.map_err(|problems| Failure::system(listed(&problems)))?;
        self.session.shown = Some(Default::default());
        self.say(&format!("stream {}\n", stream.name))?;
        let mut reader = Reader::new(stream, &Value::Null, &self.session, Timestamp::now())?;
        let mut left = pages.max(1);
        while left > 0 {
            let run = loop {
                match reader.next(&mut self.session, Timestamp::now())? {
                    Progress::Done(run) => break run,
                    Progress::Need(need) => {
                        if let Some(answered) = self.meet(need, true).await? {
                            reader.answer(&mut self.session, Timestamp::now(), answered)?;
                        }
                    }
                }
            };
            let Some(mut run) = run else { break };
            let about = Value::Object(run.position().cursor);
            self.say(&format!("slice {} {}\n", Value::Object(run.partition().clone()), about))?;
            while left > 0 {
                match run.step(&mut self.session, Timestamp::now())? {
                    Progress::Need(need) => {
                        if let Some(answered) = self.meet(need, false).await? {
                            run.answer(&mut self.session, Timestamp::now(), answered)?;
                        }
                    }
                    Progress::Done(None) => break,
                    Progress::Done(Some(_)) => {
                        let shown = self.session.shown.as_ref().map(|shown| std::mem::take(&mut *shown.borrow_mut()));
                        for page in shown.unwrap_or_default() {
                            self.say(&of_page(&page))?;
                        }
                        left -= 1;
                    }
                }
            }
            if run.is_finished() {
                reader.close(&run)?;
            }
        }
        Ok(0)
    }

    /// Sends or waits, and shows what was sent and what came back.
    async fn meet(&mut self, need: Need, is_parent: bool) -> Result<Option<Answered>, Stop> {
        match need {
            Need::Ask(ask) => {
                self.out.secrets.add_request(&ask.request);
                let what = if is_parent { "parent's request" } else { "request" };
                self.say(&of_request(what, &ask))?;
                let answered = self.client.send(&ask).await;
                let text = match &answered {
                    Ok(response) if ask.purpose == Purpose::Token => {
                        format!("  answer {} (a secret)\n", response.status)
                    }
                    Ok(response) => {
                        let body = String::from_utf8_lossy(&response.body);
                        format!("  answer {}, {} bytes: {}\n", response.status, response.body.len(), excerpt(&body))
                    }
                    Err(fault) => format!("  no answer: {fault}\n"),
                };
                self.say(&text)?;
                Ok(Some(answered))
            }
            Need::Wait(wait) => {
                self.say(&format!("  waits {} seconds\n", wait.as_secs_f64()))?;
                self.pace.wait(wait).await;
                Ok(None)
            }
            Need::Blocked => Err(Failure::system("a request waits for another one that nobody sends").into()),
        }
    }

    fn say(&mut self, text: &str) -> Result<(), Stop> {
        self.out.text(text)?;
        Ok(())
    }
}

fn of_request(what: &str, ask: &Ask) -> String {
    let request = &ask.request;
    let what = if ask.purpose == Purpose::Token { "token request" } else { what };
    let mut out = format!("{what} {} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        let value = match value {
            HeaderValue::Plain(text) => text.as_str(),
            HeaderValue::Secret(_) => "****",
        };
        let _ = writeln!(out, "  {name}: {value}");
    }
    if !request.body.is_empty() {
        let body = String::from_utf8_lossy(&request.body);
        let _ =
            writeln!(out, "  {}", if ask.purpose == Purpose::Token { "(a secret)".to_owned() } else { excerpt(&body) });
    }
    out
}

fn of_page(page: &Shown) -> String {
    let rejected = page.extracted - i64::try_from(page.kept).unwrap_or(i64::MAX);
    let mut out = format!("  {} records extracted, {rejected} filtered out, {} left\n", page.extracted, page.kept);
    if let Some(missed) = &page.missed {
        let _ = writeln!(out, "  {missed}");
    }
    for (title, records) in [("extracted", &page.before), ("left", &page.after)] {
        for record in records {
            let _ = writeln!(out, "    {title:9} {}", excerpt(&record.to_string()));
        }
    }
    out
}

fn excerpt(text: &str) -> String {
    let mut out: String = text.chars().take(EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
