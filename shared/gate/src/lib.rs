//! Who sent this webhook? Request, policy, keys and time in, [`Verdict`] out.
//!
//! ```text
//! Policy (a preset, changed by teal.yaml) ── compiled once ──► Gate
//! secrets, as the scheme writes them ──────► Gate::key ──────► Key, with its lifetime
//! Request + keys + what is known + now ────► Gate::judge ────► Genuine | Handshake | Refused
//! ```
//!
//! Owns the schemes of every sender ([`preset`]), their handshakes, and what each is to be answered. Owns no
//! input or output, no clock and no store: certificates, pending subscriptions and the time are handed in,
//! and what a handshake asks for is handed out, for the caller to do.
//!
//! Always holds:
//!
//! - Bytes are judged as they came; nothing is parsed before it is verified, but for the envelope of SNS, which
//!   names its own key.
//! - Comparisons take a time that says nothing about the secret. Algorithms are the policy's, never the request's.
//! - A signature's header that comes twice proves nothing; neither does an empty key, which can't be made.
//! - A handshake sets no key: what a sender proposes is handed out as a candidate, and only while the owner
//!   waits for one and there is no key. What is echoed is short, and no markup.
//! - A [`Refusal`] is for the owner. It names headers and steps, never a secret, and is no answer.

#![forbid(unsafe_code)]

mod certificate;
mod explain;
pub mod form;
mod gate;
mod handshake;
mod key;
mod message;
mod policy;
pub mod preset;
mod refusal;
mod request;
mod secret;
mod sign;
mod signature;
mod sns;

pub use self::explain::{Explanation, Signed, Step};
pub use self::gate::{Gate, Verdict};
pub use self::handshake::{Ask, Handshake, Reply};
pub use self::key::{Encoding, Key, KeyError, Lifetime};
pub use self::message::{Piece, Template, TemplateError};
pub use self::policy::{Answers, Capture, Policy, PolicyError, Refused, Scheme};
pub use self::preset::Preset;
pub use self::refusal::Refusal;
pub use self::request::{Channel, Facts, Request};
pub use self::secret::SharedSecret;
pub use self::signature::{Algorithm, Format, Signature, TextEncoding, TimeSource, TimeUnit, Timestamp};
pub use self::sns::Sns;
