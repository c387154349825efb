//! `Problem`, as handlers use it: a document of RFC 9457 and the response around it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::HashMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use support::members;
use tower_bearer::{Problem, ProblemJson};

fn named(problem: &Problem) -> Vec<(String, Value)> {
    members(&problem.to_string())
}

#[test]
fn the_least_is_what_the_status_says() {
    for (status, title) in [
        (StatusCode::CONFLICT, "Conflict"),
        (StatusCode::NOT_FOUND, "Not Found"),
        (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        // One without a phrase of its own.
        (StatusCode::from_u16(599).unwrap(), "Error"),
    ] {
        let problem = Problem::new(status);
        assert_eq!(problem.status(), status);
        let expected = [
            ("type".to_owned(), json!("about:blank")),
            ("title".to_owned(), json!(title)),
            ("status".to_owned(), json!(status.as_u16())),
        ];
        assert_eq!(named(&problem), expected);
    }
}

/// The order is that of the contract, whatever that of the calls; extension members follow.
#[test]
fn the_order_of_the_members() {
    let problem = Problem::new(StatusCode::CONFLICT)
        .extension("balance", 30)
        .trace_id("t")
        .instance("/i")
        .detail("d")
        .extension("accounts", ["/a", "/b"])
        .title("T")
        .type_uri("urn:x");
    assert_eq!(
        problem.to_string(),
        r#"{"type":"urn:x","title":"T","status":409,"detail":"d","instance":"/i","traceId":"t","balance":30,"accounts":["/a","/b"]}"#
    );
    assert_eq!(
        serde_json::to_string(&problem).unwrap(),
        problem.to_string()
    );
}

/// RFC 9457 §3.2: no name stands there twice, and none of the problem's own is taken by another.
#[test]
fn extension_members() {
    let mut problem = Problem::new(StatusCode::CONFLICT);
    for own in ["type", "title", "status", "detail", "instance", "traceId"] {
        problem = problem.extension(own, "evil");
    }
    let problem = problem
        .extension("count", 1)
        .extension("Status", "another name")
        .extension("a \"b\"\r\n", json!({ "c": [null, true] }))
        .extension("count", 2)
        // Keys of a map in JSON are strings.
        .extension("no json", HashMap::from([((1, 2), 3)]));
    let found = named(&problem);
    let expected = [
        ("type", json!("about:blank")),
        ("title", json!("Conflict")),
        ("status", json!(409)),
        ("Status", json!("another name")),
        ("a \"b\"\r\n", json!({ "c": [null, true] })),
        ("count", json!(2)),
        ("no json", json!(null)),
    ];
    assert_eq!(
        found,
        expected.map(|(name, value)| (name.to_owned(), value))
    );
}

#[test]
fn what_json_must_escape() {
    let text = "say \"x\" \\ \r\n\t\0 caf\u{e9} \u{2028} \u{1f600}";
    let problem = Problem::new(StatusCode::BAD_REQUEST)
        .type_uri(text)
        .title(text)
        .detail(text)
        .instance(text)
        .trace_id(text);
    for (name, value) in named(&problem) {
        if name != "status" {
            assert_eq!(value, text, "{name}");
        }
    }
}

/// The length is exact, for documents of any.
#[test]
fn the_response() {
    for length in 0..1_200 {
        let problem = Problem::new(StatusCode::GONE).detail("x".repeat(length));
        let document = problem.to_string();
        let response = problem.into_response();
        assert_eq!(response.status(), 410);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "application/problem+json");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("content-length"), document.len().to_string());
        assert_eq!(response.headers().len(), 3);
        assert_eq!(*response.body(), document);
    }
    let converted: Response<Bytes> = Problem::new(StatusCode::GONE).into();
    assert_eq!(converted.status(), 410);
}

/// In the layer's voice: its type base, and the instance and trace id that a refusal would have.
#[test]
fn begun_by_the_layer_s_voice() {
    let problems = ProblemJson::new().type_base(support::BASE).unwrap();
    let headers = [("traceparent", support::TRACEPARENT)];
    let (request, _) = support::request_to("/orders/17?token=secret", &headers).into_parts();
    let problem = problems.problem(StatusCode::NOT_FOUND, "unknown-order", &request);
    let expected = [
        ("type", json!(format!("{}unknown-order", support::BASE))),
        ("title", json!("Not Found")),
        ("status", json!(404)),
        ("instance", json!("/orders/17")),
        ("traceId", json!(support::TRACE_ID)),
    ];
    assert_eq!(
        named(&problem),
        expected.map(|(name, value)| (name.to_owned(), value))
    );
}

/// A handler of axum returns one.
#[cfg(feature = "axum")]
#[tokio::test]
async fn from_a_handler() {
    use axum::{Router, body::Body, routing::get};
    use http::Request;
    use tower::ServiceExt;

    let handler = || async { Err::<(), _>(Problem::new(StatusCode::CONFLICT).detail("No")) };
    let app: Router = Router::new().route("/", get(handler));
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    let answer = support::Answer::of(response).await;
    assert_eq!(answer.status, 409);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.member("detail"), "No");
}
