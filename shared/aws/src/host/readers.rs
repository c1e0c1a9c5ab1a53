//! Requests of readers, as `lambda_http` makes them of events.
//!
//! Owns the way from its request to the router's, and back. For functions that take nothing else: an event that is no
//! request is refused by `lambda_http`. Deliveries do not come this way: their bytes and their query are signed, and
//! `lambda_http` takes path and query apart and joins them again.

use std::convert::Infallible;

use http::{Response, StatusCode};
use lambda_http::{Body, RequestExt as _, request::RequestContext, service_fn};
use teal::metrics::Emf;
use teal::pipeline::api::ApiResponse;
use teal::trigger::http::{Http, Request, header_map, without_stage};
use tracing::Instrument as _;

use super::{Error, log};

/// Answers requests of an HTTP API or a function URL until Lambda ends the process.
pub async fn readers(meter: &Emf, http: Http) -> Result<(), Error> {
    let http = &http;
    lambda_http::run(service_fn(|request: lambda_http::Request| async move {
        let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let span = log::span(trace, &request.lambda_context());
        let answer = http.respond_to(Ok(read(request))).instrument(span).await;
        meter.lines(log::now()).iter().for_each(|line| println!("{line}"));
        Ok::<_, Infallible>(answered(answer))
    }))
    .await
}

/// The path as it came: a key may have a `?`, which would be a query in the request's own address.
fn read(request: lambda_http::Request) -> Request {
    let stage = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        _ => None,
    };
    let path = without_stage(request.raw_http_path(), stage).to_owned();
    let query = request.query_string_parameters_ref();
    let pairs = query.into_iter().flat_map(|query| query.iter());
    let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (head, body) = request.into_parts();
    Request {
        method: head.method.as_str().to_owned(),
        path,
        query,
        raw_query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_vec().into(),
    }
}

fn answered(answer: ApiResponse) -> Response<Body> {
    let body = String::from_utf8(answer.body.into()).map_or_else(|binary| binary.into_bytes().into(), Body::from);
    let mut out = Response::new(body);
    *out.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *out.headers_mut() = header_map(answer.headers);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(path: &str, query: &str, stage: &str) -> Request {
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
            "headers": { "host": "api.example.com", "authorization": "Bearer made-up" }, "isBase64Encoded": false,
            "requestContext": { "stage": stage, "http": { "method": "GET", "path": path, "protocol": "HTTP/1.1" } },
        });
        read(lambda_http::request::from_str(&event.to_string()).unwrap())
    }

    #[test]
    fn a_key_may_have_what_an_address_may_not() {
        let read = request("/v1/talents/a?b c/ü", "limit=2&city=New+York&city=B%26B", "$default");
        assert_eq!((read.method.as_str(), read.path.as_str()), ("GET", "/v1/talents/a?b c/ü"));
        let pairs = [("limit", "2"), ("city", "New York"), ("city", "B&B")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let mut query = read.query;
        query.sort_by_key(|(name, _)| name != "limit");
        assert_eq!(query, pairs);
        assert_eq!(read.headers["authorization"], "Bearer made-up");
    }

    #[test]
    fn a_stage_is_no_part_of_the_path() {
        assert_eq!(request("/live/v1/talents", "", "live").path, "/v1/talents");
    }

    #[test]
    fn an_answer_keeps_its_status_its_headers_and_its_bytes() {
        let text = answered(ApiResponse { body: "{}".into(), ..ApiResponse::empty(404) }.with("etag", "\"7\""));
        assert_eq!((text.status().as_u16(), text.headers()["etag"].to_str().unwrap()), (404, "\"7\""));
        assert!(matches!(text.body(), Body::Text(body) if body == "{}"));
        let binary = answered(ApiResponse { body: vec![0xff_u8].into(), ..ApiResponse::empty(200) });
        assert!(matches!(binary.body(), Body::Binary(body) if body[..] == [0xff]));
    }
}
