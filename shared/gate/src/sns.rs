//! Messages of AWS SNS: signed with a certificate that the message names itself.
//!
//! Always holds: the envelope is read before it is verified, since it names the key, and nothing is done with
//! it but this: the topic must be one of the source's, and addresses must be Amazon's, before anything is
//! fetched. A valid signature proves SNS, never the topic.

use base64::Engine as _;
use serde::Deserialize;

use crate::key::{BASE64, Key, Material};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::signature::{TimeUnit, in_window};

/// SNS has no larger message.
const MAX_MESSAGE: usize = 300 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sns {
    /// ARNs; a message of another topic is refused, whoever signed it.
    pub topics: Vec<String>,
    /// Milliseconds to either side of the message's own time. Retries take up to an hour.
    pub tolerance: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Envelope {
    r#type: String,
    message_id: String,
    topic_arn: String,
    subject: Option<String>,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    certificate: String,
    #[serde(rename = "SubscribeURL")]
    subscribe: Option<String>,
    token: Option<String>,
}

/// What a verified message is.
pub(crate) enum Meaning {
    Notification,
    /// The address confirms the subscription when it is got.
    Confirm(String),
    Ended,
}

impl Sns {
    pub(crate) fn read(&self, request: &Request<'_>) -> Result<Envelope, Refusal> {
        let malformed = |why| Refusal::Malformed { what: "the envelope of SNS".to_owned(), why };
        if request.body.len() > MAX_MESSAGE {
            return Err(malformed("it is larger than any that SNS sends"));
        }
        if request.header("x-amz-sns-rawdelivery")?.is_some() {
            return Err(malformed(
                "raw delivery is on, which leaves nothing to verify; turn it off at the subscription",
            ));
        }
        let envelope: Envelope =
            serde_json::from_slice(request.body).map_err(|_| malformed("it is not the JSON that SNS sends"))?;
        if !self.topics.contains(&envelope.topic_arn) {
            return Err(Refusal::Topic);
        }
        let certificate =
            amazon(&envelope.certificate).is_some_and(|path| path.ends_with(".pem") && !path.contains('?'));
        if !certificate || envelope.subscribe.as_deref().is_some_and(|url| amazon(url).is_none()) {
            return Err(Refusal::Address);
        }
        Ok(envelope)
    }

    pub(crate) fn certificate(&self, request: &Request<'_>) -> Result<String, Refusal> {
        Ok(self.read(request)?.certificate)
    }

    pub(crate) fn verify(&self, request: &Request<'_>, keys: &[&Key], now: i64) -> Result<Meaning, Refusal> {
        let envelope = self.read(request)?;
        let sha256 = match envelope.signature_version.as_str() {
            "1" => false,
            "2" => true,
            _ => return Err(Refusal::Unknown { accepted: "SignatureVersion 1 and 2".to_owned() }),
        };
        let malformed = |what: &str, why| Refusal::Malformed { what: what.to_owned(), why };
        let at = TimeUnit::Rfc3339.read(&envelope.timestamp).ok_or_else(|| malformed("Timestamp", "it is no time"))?;
        in_window(at, TimeUnit::Rfc3339, self.tolerance, now)?;
        let given = BASE64.decode(&envelope.signature).map_err(|_| malformed("Signature", "it is not base64"))?;
        let signed =
            envelope.signed().ok_or_else(|| malformed("Type", "it is none that SNS sends, or lacks members"))?;
        let proven = keys.iter().any(|key| {
            matches!(&key.material, Material::Certificate(certificate) if certificate.verify(sha256, signed.as_bytes(), &given))
        });
        match envelope.r#type.as_str() {
            _ if !proven => Err(Refusal::Differs { what: "the signature" }),
            "Notification" => Ok(Meaning::Notification),
            "SubscriptionConfirmation" => Ok(Meaning::Confirm(envelope.subscribe.ok_or(Refusal::Address)?)),
            _ => Ok(Meaning::Ended),
        }
    }
}

impl Envelope {
    /// Names and values a line each, in the order of the names.
    pub(crate) fn signed(&self) -> Option<String> {
        let lines: Vec<(&str, &str)> = match self.r#type.as_str() {
            "Notification" => [("Message", self.message.as_str()), ("MessageId", &self.message_id)]
                .into_iter()
                .chain(self.subject.as_deref().map(|subject| ("Subject", subject)))
                .chain([("Timestamp", self.timestamp.as_str()), ("TopicArn", &self.topic_arn), ("Type", &self.r#type)])
                .collect(),
            "SubscriptionConfirmation" | "UnsubscribeConfirmation" => vec![
                ("Message", &self.message),
                ("MessageId", &self.message_id),
                ("SubscribeURL", self.subscribe.as_deref()?),
                ("Timestamp", &self.timestamp),
                ("Token", self.token.as_deref()?),
                ("TopicArn", &self.topic_arn),
                ("Type", &self.r#type),
            ],
            _ => return None,
        };
        Some(lines.into_iter().fold(String::new(), |out, (name, value)| out + name + "\n" + value + "\n"))
    }
}

/// Path and query of an address of SNS: HTTPS, `sns.<region>.amazonaws.com` or `.com.cn`, no port, no user.
fn amazon(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    let host = host.strip_prefix("sns.")?;
    let region = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let region = region.len() >= 3 && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#');
    (region && plain).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_amazons_or_it_is_not_asked() {
        for good in ["https://sns.us-east-1.amazonaws.com/a.pem", "https://sns.cn-north-1.amazonaws.com.cn/?Action=x"] {
            assert!(amazon(good).is_some(), "{good}");
        }
        for bad in [
            "http://sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com",
            "https://sns.us-east-1.amazonaws.com:444/a.pem",
            "https://sns.us-east-1.amazonaws.com@evil.example.com/a.pem",
            "https://evil.example.com/sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com.evil.example.com/a.pem",
            "https://sns.a.b.amazonaws.com/a.pem",
            "https://sns.amazonaws.com/a.pem",
            "https://sns..amazonaws.com/a.pem",
            "https://169.254.169.254/a.pem",
            "https://evil.example.com\\.sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com/a b.pem",
            "https://sns.us-east-1.amazonaws.com/\u{e9}.pem",
            "file:///etc/passwd",
            "",
        ] {
            assert!(amazon(bad).is_none(), "{bad}");
        }
    }
}
