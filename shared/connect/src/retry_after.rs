//! A source's own word on when to come back: the `Retry-After` header.

use std::time::{Duration, UNIX_EPOCH};

use teal::domain::Millis;
use teal::ports::upstream::Response;

/// How long from `now`. `None` when the source does not say, says something unreadable, or names a time that is
/// past already, by its own `Date` or by ours.
pub fn read(response: &Response, now: Millis) -> Option<Duration> {
    let text = response.header("retry-after")?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = http_date(text)?;
    let known = date(response).map_or(now, |date| date.max(now));
    (at > known).then(|| at.since(now))
}

/// When the source says that it answered.
pub fn date(response: &Response) -> Option<Millis> {
    http_date(response.header("date")?)
}

fn http_date(text: &str) -> Option<Millis> {
    let time = httpdate::parse_http_date(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok().map(Millis)
}
