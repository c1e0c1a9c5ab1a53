//! The senders that are known by name, and what each asks for.
//!
//! Sources and traps of each are in docs/webhooks. A preset is a [`Policy`] like any other: what teal.yaml says
//! besides changes a member of it.

use std::time::Duration;

use crate::handshake::Ask;
use crate::key::Encoding;
use crate::message::Template;
use crate::policy::{Answers, Capture, Policy, Refused, Scheme};
use crate::secret::SharedSecret;
use crate::signature::{Algorithm, Format, Signature, TextEncoding, TimeSource, TimeUnit, Timestamp};
use crate::sns::Sns;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preset {
    GitHub,
    Mailchimp,
    Mandrill,
    Airtable,
    Notion,
    GoogleCalendar,
    WebSub,
    Apify,
    Standard,
    Stripe,
    Shopify,
    Slack,
    Sns,
    SharedSecret,
    UrlSecret,
    Hmac,
}

/// As teal.yaml writes them.
pub const NAMES: &[&str] = &[
    "github",
    "mailchimp",
    "mandrill",
    "airtable",
    "notion",
    "google-calendar",
    "websub",
    "youtube",
    "apify",
    "standard",
    "svix",
    "stripe",
    "shopify",
    "slack",
    "sns",
    "shared-secret",
    "url-secret",
    "hmac",
];

const FIVE_MINUTES: u64 = 300_000;
const TWO_HOURS: u64 = 7_200_000;

impl Preset {
    /// For how long the sender repeats a delivery that got no good answer, or lets it be sent again by hand; `None` where
    /// nobody says.
    #[must_use]
    pub fn repeats(self) -> Option<Duration> {
        let minutes = match self {
            Self::Slack => 6,
            Self::Sns => 60,
            Self::Mailchimp => 75,
            Self::Shopify => 4 * 60,
            Self::Airtable | Self::Notion => 24 * 60,
            Self::Apify | Self::GitHub | Self::Stripe => 72 * 60,
            Self::Standard => 76 * 60,
            Self::Mandrill
            | Self::GoogleCalendar
            | Self::WebSub
            | Self::SharedSecret
            | Self::UrlSecret
            | Self::Hmac => return None,
        };
        Some(Duration::from_secs(minutes * 60))
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "github" => Self::GitHub,
            "mailchimp" => Self::Mailchimp,
            "mandrill" => Self::Mandrill,
            "airtable" => Self::Airtable,
            "notion" => Self::Notion,
            "google-calendar" => Self::GoogleCalendar,
            "websub" | "youtube" => Self::WebSub,
            "apify" => Self::Apify,
            "standard" | "svix" => Self::Standard,
            "stripe" => Self::Stripe,
            "shopify" => Self::Shopify,
            "slack" => Self::Slack,
            "sns" => Self::Sns,
            "shared-secret" => Self::SharedSecret,
            "url-secret" => Self::UrlSecret,
            "hmac" => Self::Hmac,
            _ => return None,
        })
    }

    /// What it asks for, where teal.yaml says no more. Whether that is enough, compiling it tells.
    #[must_use]
    pub fn policy(self) -> Policy {
        let answer = |accepted, refused| Answers { accepted, refused };
        let (accepted, refused) = (answer(200, Refused::Status(401)), Refused::Status(401));
        let (scheme, asks, answers) = match self {
            Self::GitHub => {
                let ping = Ask::Ping { header: "x-github-event".into(), value: "ping".into() };
                let scheme = over_body("x-hub-signature-256", "sha256=", TextEncoding::Hex);
                (scheme, vec![ping], answer(202, refused))
            }
            Self::Mailchimp => (parameter("secret"), vec![Ask::Get, Ask::Head], accepted),
            Self::Mandrill => {
                let scheme = Signature {
                    headers: vec!["x-mandrill-signature".into()],
                    format: prefixed("", Algorithm::HmacSha1),
                    encoding: TextEncoding::Base64,
                    ..signature("{url}{sorted_form}")
                };
                (Scheme::Signature(scheme), vec![Ask::Head, Ask::Get, Ask::EmptyBatch], accepted)
            }
            Self::Airtable => {
                let Scheme::Signature(scheme) = over_body("x-airtable-content-mac", "hmac-sha256=", TextEncoding::Hex)
                else {
                    unreachable!("it is a signature")
                };
                let scheme = Signature { key: Encoding::Base64, ..scheme };
                (Scheme::Signature(scheme), Vec::new(), answer(204, refused))
            }
            Self::Notion => {
                let capture = Ask::Capture(Capture::Body("verification_token".into()));
                (over_body("x-notion-signature", "sha256=", TextEncoding::Hex), vec![capture], accepted)
            }
            Self::GoogleCalendar => {
                let sync = Ask::Ping { header: "x-goog-resource-state".into(), value: "sync".into() };
                (Scheme::Secret(SharedSecret::Channel), vec![sync], answer(200, Refused::Status(403)))
            }
            Self::WebSub => {
                let prefixes = [
                    ("sha1=", Algorithm::HmacSha1),
                    ("sha256=", Algorithm::HmacSha256),
                    ("sha384=", Algorithm::HmacSha384),
                    ("sha512=", Algorithm::HmacSha512),
                ];
                let prefixes = prefixes.map(|(prefix, algorithm)| (prefix.to_owned(), algorithm)).into();
                let scheme = Signature {
                    headers: vec!["x-hub-signature".into()],
                    format: Format { separator: None, prefixes, time: None },
                    ..signature("{body}")
                };
                let asks = vec![Ask::WebSub { topics: Vec::new() }];
                (Scheme::Signature(scheme), asks, answer(204, Refused::Drop))
            }
            Self::Apify => (header("authorization", "Bearer "), Vec::new(), accepted),
            Self::Standard => {
                let either = |name: &str| vec![format!("webhook-{name}"), format!("svix-{name}")];
                let prefixes = vec![("v1,".to_owned(), Algorithm::HmacSha256), ("v1a,".to_owned(), Algorithm::Ed25519)];
                let scheme = Signature {
                    headers: either("signature"),
                    format: Format { separator: Some(' '), prefixes, time: None },
                    encoding: TextEncoding::Base64,
                    key: Encoding::Standard,
                    id: either("id"),
                    timestamp: Some(within(TimeSource::Headers(either("timestamp")))),
                    ..signature("{id}.{timestamp}.{body}")
                };
                (Scheme::Signature(scheme), Vec::new(), accepted)
            }
            Self::Stripe => {
                let prefixes = vec![("v1=".to_owned(), Algorithm::HmacSha256)];
                let scheme = Signature {
                    headers: vec!["stripe-signature".into()],
                    format: Format { separator: Some(','), prefixes, time: Some("t=".into()) },
                    timestamp: Some(within(TimeSource::Entry)),
                    ..signature("{timestamp}.{body}")
                };
                (Scheme::Signature(scheme), Vec::new(), answer(200, Refused::Status(400)))
            }
            Self::Shopify => (over_body("x-shopify-hmac-sha256", "", TextEncoding::Base64), Vec::new(), accepted),
            Self::Slack => {
                let scheme = Signature {
                    headers: vec!["x-slack-signature".into()],
                    format: prefixed("v0=", Algorithm::HmacSha256),
                    timestamp: Some(within(TimeSource::Headers(vec!["x-slack-request-timestamp".into()]))),
                    ..signature("v0:{timestamp}:{body}")
                };
                (Scheme::Signature(scheme), vec![Ask::Challenge], accepted)
            }
            Self::Sns => {
                let scheme = Scheme::Sns(Sns { topics: Vec::new(), tolerance: TWO_HOURS });
                (scheme, Vec::new(), answer(200, Refused::Status(403)))
            }
            Self::SharedSecret => (header("authorization", "Bearer "), Vec::new(), answer(202, refused)),
            Self::UrlSecret => (parameter("secret"), Vec::new(), answer(202, refused)),
            Self::Hmac => {
                let scheme = Signature { format: prefixed("", Algorithm::HmacSha256), ..signature("{body}") };
                (Scheme::Signature(scheme), Vec::new(), answer(202, refused))
            }
        };
        Policy { scheme, asks, answers, url: None }
    }
}

fn signature(message: &str) -> Signature {
    Signature {
        headers: Vec::new(),
        format: prefixed("", Algorithm::HmacSha256),
        encoding: TextEncoding::Hex,
        key: Encoding::Utf8,
        message: Template::parse(message).expect("the presets' templates are right"),
        id: Vec::new(),
        timestamp: None,
    }
}

fn prefixed(prefix: &str, algorithm: Algorithm) -> Format {
    Format { separator: None, prefixes: vec![(prefix.to_owned(), algorithm)], time: None }
}

fn over_body(header: &str, prefix: &str, encoding: TextEncoding) -> Scheme {
    Scheme::Signature(Signature {
        headers: vec![header.to_owned()],
        format: prefixed(prefix, Algorithm::HmacSha256),
        encoding,
        ..signature("{body}")
    })
}

fn within(from: TimeSource) -> Timestamp {
    Timestamp { from, unit: TimeUnit::Seconds, tolerance: FIVE_MINUTES }
}

fn header(name: &str, prefix: &str) -> Scheme {
    Scheme::Secret(SharedSecret::Header { name: name.to_owned(), prefix: prefix.to_owned() })
}

fn parameter(name: &str) -> Scheme {
    Scheme::Secret(SharedSecret::Parameter(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_preset() {
        assert!(NAMES.iter().all(|name| Preset::named(name).is_some()));
        assert_eq!(Preset::named("GitHub"), None);
    }
}
