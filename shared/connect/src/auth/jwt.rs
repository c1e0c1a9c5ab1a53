//! A token that the connector signs itself.

use crate::value::{Map, Value};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::{hmac, rand::SystemRandom, signature};

use crate::failure::Failure;
use crate::interpolate::{Context, Template, TemplatedMap};
use crate::node::{Compiler, Node};
use crate::options::RequestOption;
use crate::python::dumps;

/// How long a token is good, in seconds, unless the manifest says otherwise.
const LASTS: i64 = 1200;

#[derive(Debug)]
pub struct Jwt {
    key: Template,
    key_in_base64: Option<Template>,
    algorithm: Algorithm,
    lasts: i64,
    prefix: Option<Template>,
    headers: Vec<(&'static str, Template)>,
    claims: Vec<(&'static str, Template)>,
    more_headers: TemplatedMap,
    more_claims: TemplatedMap,
    pub option: RequestOption,
}

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Hmac(&'static str),
    Rsa(&'static str),
    Ecdsa(&'static str),
    Ed25519,
}

impl Algorithm {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "HS256" => Self::Hmac("HS256"),
            "HS384" => Self::Hmac("HS384"),
            "HS512" => Self::Hmac("HS512"),
            "RS256" => Self::Rsa("RS256"),
            "RS384" => Self::Rsa("RS384"),
            "RS512" => Self::Rsa("RS512"),
            "PS256" => Self::Rsa("PS256"),
            "PS384" => Self::Rsa("PS384"),
            "PS512" => Self::Rsa("PS512"),
            "ES256" => Self::Ecdsa("ES256"),
            "ES384" => Self::Ecdsa("ES384"),
            "EdDSA" => Self::Ed25519,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hmac(name) | Self::Rsa(name) | Self::Ecdsa(name) => name,
            Self::Ed25519 => "EdDSA",
        }
    }
}

impl Jwt {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        if node.kind() != "JwtAuthenticator" {
            cx.unknown(node, "JWT authenticator");
            return None;
        }
        let algorithm = node.require("algorithm", cx)?;
        let Some(known) = algorithm.value.as_str().and_then(Algorithm::read) else {
            cx.report(
                &algorithm,
                "Teal signs with HS256/384/512, RS256/384/512, PS256/384/512, ES256, ES384 and EdDSA",
            );
            return None;
        };
        if node
            .template("passphrase", cx)
            .is_some_and(|template| template.render_text(&cx.context()).is_ok_and(|text| !text.is_empty()))
        {
            cx.report_config(
                node,
                "an encrypted private key can't be used; give the key decrypted, without passphrase",
            );
        }
        let empty = Value::Object(Map::new());
        let mut named = |name: &str, keys: [&'static str; 3]| {
            let part = node.get(name);
            let part = Node::new(part.as_ref().map_or(&empty, |part| part.value), format!("{}.{name}", node.at));
            let parameters = node.parameters();
            let mut out = Vec::new();
            for key in keys {
                let template = part.template(key, cx).filter(|template| !template.text().is_empty());
                out.extend(template.map(|template| (key, template.with_parameters(&parameters))));
            }
            out
        };
        let headers = named("jwt_headers", ["kid", "typ", "cty"]);
        let claims = named("jwt_payload", ["iss", "sub", "aud"]);
        let mut more = |name: &str, reserved: &[&str]| {
            let none = Map::new();
            let given = node.get(name);
            let members = given.as_ref().and_then(Node::object).unwrap_or(&none);
            if let Some(name) = members.keys().find(|name| reserved.contains(&name.as_str())) {
                let text = format!("'{name}' has a place of its own; give it there");
                cx.report(node, text);
            }
            cx.check(node, TemplatedMap::compile(members, &node.parameters()))
        };
        let more_headers = more("additional_jwt_headers", &["kid", "alg", "typ", "cty"])?;
        let more_claims = more("additional_jwt_payload", &["iss", "sub", "aud", "iat", "exp", "nbf"])?;
        let option = match node.get("request_option") {
            Some(option) => RequestOption::compile(&option, cx)?,
            None => RequestOption::header(cx.check(node, Template::compile("Authorization"))?),
        };
        Some(Self {
            key: node.require_template("secret_key", cx)?,
            key_in_base64: node.template("base64_encode_secret_key", cx),
            algorithm: known,
            lasts: node.whole("token_duration", cx).unwrap_or(LASTS),
            prefix: node.template("header_prefix", cx),
            headers,
            claims,
            more_headers,
            more_claims,
            option,
        })
    }

    /// The token, with its prefix.
    pub fn token(&self, cx: &Context, now: Timestamp) -> Result<String, Failure> {
        let mut header: Map = self.more_headers.render(cx)?.into_iter().collect();
        for (name, template) in &self.headers {
            header.insert((*name).to_owned(), template.render(cx)?);
        }
        header.entry("typ").or_insert_with(|| "JWT".into());
        header.insert("alg".to_owned(), self.algorithm.name().into());
        let mut claims: Map = self.more_claims.render(cx)?.into_iter().collect();
        for (name, template) in &self.claims {
            claims.insert((*name).to_owned(), template.render(cx)?);
        }
        let now = now.as_second();
        for (name, at) in [("iat", now), ("exp", now + self.lasts), ("nbf", now)] {
            claims.insert(name.to_owned(), at.into());
        }
        // Python's library sorts the header and leaves the claims as they come.
        let header = URL_SAFE_NO_PAD.encode(dumps(&Value::Object(header), true, true));
        let claims = URL_SAFE_NO_PAD.encode(dumps(&Value::Object(claims), true, false));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes(), cx)?);
        let token = format!("{signed}.{signature}");
        let prefix = self.prefix.as_ref().map(|prefix| prefix.render_text(cx)).transpose()?;
        Ok(match prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => format!("{prefix} {token}"),
            None => token,
        })
    }

    fn sign(&self, message: &[u8], cx: &Context) -> Result<Vec<u8>, Failure> {
        let mut key = self.key.render_text(cx)?;
        if let Some(encode) = &self.key_in_base64
            && encode.render_bool(cx)?
        {
            key = STANDARD.encode(key);
        }
        let refused = || {
            let algorithm = self.algorithm.name();
            Failure::config(format!("the secret key is no private key for {algorithm}; give one in PEM, not encrypted"))
        };
        match self.algorithm {
            Algorithm::Hmac(name) => {
                let algorithm = match name {
                    "HS256" => hmac::HMAC_SHA256,
                    "HS384" => hmac::HMAC_SHA384,
                    _ => hmac::HMAC_SHA512,
                };
                Ok(hmac::sign(&hmac::Key::new(algorithm, key.as_bytes()), message).as_ref().to_vec())
            }
            Algorithm::Rsa(name) => {
                let (der, label) = pem(&key).ok_or_else(refused)?;
                let pair = match label.starts_with("RSA") {
                    true => signature::RsaKeyPair::from_der(&der),
                    false => signature::RsaKeyPair::from_pkcs8(&der),
                };
                let pair = pair.map_err(|_| refused())?;
                let padding: &dyn signature::RsaEncoding = match name {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut out).map_err(|_| refused())?;
                Ok(out)
            }
            Algorithm::Ecdsa(name) => {
                let (der, _) = pem(&key).ok_or_else(refused)?;
                let algorithm = match name {
                    "ES256" => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                    _ => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                };
                let random = SystemRandom::new();
                let pair = signature::EcdsaKeyPair::from_pkcs8(algorithm, &der, &random).map_err(|_| refused())?;
                Ok(pair.sign(&random, message).map_err(|_| refused())?.as_ref().to_vec())
            }
            Algorithm::Ed25519 => {
                let (der, _) = pem(&key).ok_or_else(refused)?;
                let pair = signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| refused())?;
                Ok(pair.sign(message).as_ref().to_vec())
            }
        }
    }
}

/// The first block of a PEM text and its label.
fn pem(text: &str) -> Option<(Vec<u8>, String)> {
    let text = text.replace("\\n", "\n");
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END")?;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    Some((STANDARD.decode(body).ok()?, label.to_owned()))
}
