//! A handler's response on its way out, as API Gateway's HTTP APIs would send it.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body as EventBody;
use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, TRANSFER_ENCODING};
use http::{HeaderValue, StatusCode};

/// The event types say `bytes` as base64 text and leave it to the flag to say so, therefore a binary body
/// without the flag reaches the client as base64: here as on AWS.
pub(super) fn from_event(answer: ApiGatewayV2httpResponse) -> Result<Response, Unsendable> {
    let status = u16::try_from(answer.status_code)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(|status| !status.is_informational())
        .ok_or(Unsendable::Status(answer.status_code))?;
    let body = match (answer.body, answer.is_base64_encoded) {
        (None | Some(EventBody::Empty), _) => Vec::new(),
        (Some(EventBody::Binary(bytes)), true) => bytes,
        (Some(EventBody::Binary(bytes)), false) => STANDARD.encode(bytes).into_bytes(),
        (Some(EventBody::Text(text)), true) => STANDARD.decode(text).map_err(Unsendable::Body)?,
        (Some(EventBody::Text(text)), false) => text.into_bytes(),
        (Some(_), _) => return Err(Unsendable::BodyKind),
    };
    let has_body = !body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in answer.headers.iter().chain(answer.multi_value_headers.iter()) {
        // The server frames the body itself, and a value may be in both maps.
        let framing = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(name);
        if !framing && !headers.get_all(name).iter().any(|there| there == value) {
            headers.append(name, value.clone());
        }
    }
    for cookie in answer.cookies {
        headers.append(SET_COOKIE, HeaderValue::from_str(&cookie).map_err(|_| Unsendable::Cookie)?);
    }
    if has_body && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    Ok(response)
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("{0} is not the status of a final response")]
    Status(i64),
    #[error("the body is said to be base64, and is not: {0}")]
    Body(base64::DecodeError),
    #[error("the body is of a kind that this version of Teal doesn't know")]
    BodyKind,
    #[error("a cookie has a character that no header can carry")]
    Cookie,
}
