//! Requests that are malformed: attacks.md 37.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame};
use http_body_util::StreamBody;

use crate::{
    lab::{self, FORM, Lab, form, granted, post, send},
    support::Answer,
};

const GOOD: [(&str, &str); 3] = [
    ("grant_type", "client_credentials"),
    ("client_id", "svc"),
    ("client_secret", "svc-secret"),
];

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, error: &str, of: &str) {
    assert_eq!(answer.status, status, "{of}: {}", answer.body);
    assert_eq!(answer.member("error"), error, "{of}");
    assert_eq!(
        answer.member("error_description"),
        answer.member("detail"),
        "{of}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{of}");
    assert_eq!(answer.header("www-authenticate"), None, "{of}");
    let kind = match status {
        400 => "bad-request",
        413 => "content-too-large",
        415 => "unsupported-media-type",
        _ => "request-timeout",
    };
    assert!(answer.member("type").ends_with(kind), "{of}");
}

/// attacks.md 37: repeated parameters, two client authentications, an unknown grant type.
#[tokio::test]
async fn what_is_malformed_is_400_with_the_error_of_rfc_6749() {
    let lab = Lab::new();
    let basic = lab::basic("svc", "svc-secret");
    let basic = Some(&*basic);
    let with = |more: &[(&str, &str)]| form(&[&GOOD[..], more].concat());
    for (body, authorization, error) in [
        (form(&GOOD[1..]), None, "invalid_request"),
        (form(&[("grant_type", "")]), None, "invalid_request"),
        (
            form(&[("grant_type", "password")]),
            None,
            "unsupported_grant_type",
        ),
        (
            form(&[("grant_type", "refresh_token")]),
            None,
            "unsupported_grant_type",
        ),
        (
            form(&[("grant_type", "Client_Credentials")]),
            None,
            "unsupported_grant_type",
        ),
        (with(&GOOD[..1]), None, "invalid_request"),
        (with(&[("client_id", "svc")]), None, "invalid_request"),
        (
            with(&[("more", "a"), ("more", "a")]),
            None,
            "invalid_request",
        ),
        (with(&[("scope", "")]) + "&scope=", None, "invalid_request"),
        (with(&[]), basic, "invalid_request"),
        (
            form(&[GOOD[0], ("client_id", "gen")]),
            basic,
            "invalid_request",
        ),
        (
            form(&[GOOD[0], ("client_assertion", "a.b.c")]),
            basic,
            "invalid_request",
        ),
        (with(&[("scope", "nuclear")]), None, "invalid_scope"),
        (with(&[("scope", "read admin")]), None, "invalid_scope"),
        (with(&[("scope", "read  write")]), None, "invalid_scope"),
        (with(&[("scope", " read")]), None, "invalid_scope"),
        (with(&[("scope", "read\twrite")]), None, "invalid_scope"),
        (with(&[("scope", "READ")]), None, "invalid_scope"),
        (
            with(&[("resource", "https://other.example.com")]),
            None,
            "invalid_target",
        ),
        (with(&[]) + "&a=%zz", None, "invalid_request"),
        (with(&[]) + "&a=%ff", None, "invalid_request"),
    ] {
        let mut headers = vec![("content-type", FORM)];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let answer = send(lab.server.token_endpoint(), &headers, body.clone()).await;
        assert_refused(&answer, 400, error, &body);
    }
    let two = [
        ("content-type", FORM),
        ("authorization", "Basic a"),
        ("authorization", "Basic b"),
    ];
    let answer = send(lab.server.token_endpoint(), &two, form(&GOOD[..1])).await;
    assert_refused(&answer, 400, "invalid_request", "two Authorization lines");
    let answer = post(lab.server.refresh_endpoint(), &[("refresh_token", "")]).await;
    assert_refused(&answer, 400, "invalid_request", "no refresh token");
}

#[tokio::test]
async fn what_is_odd_but_right_is_accepted() {
    let lab = Lab::new();
    let with = |more: &[(&str, &str)]| form(&[&GOOD[..], more].concat());
    for (body, media_type) in [
        (with(&[("unknown", "parameter")]), FORM),
        // As if they were not there (RFC 6749 §3.2).
        (with(&[("scope", ""), ("resource", "")]), FORM),
        (with(&[("scope", "write read write")]), FORM),
        (
            with(&[("resource", lab::AUDIENCE), ("resource", lab::AUDIENCE)]),
            FORM,
        ),
        (
            with(&[]),
            "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
        ),
        (format!("&{}&&", with(&[])), FORM),
    ] {
        let answer = send(
            lab.server.token_endpoint(),
            &[("content-type", media_type)],
            body,
        )
        .await;
        granted(answer);
    }
}

/// attacks.md 37: broken JSON, and such as would be read in two ways.
#[tokio::test]
async fn json_that_is_broken_or_means_two_things_is_400() {
    let lab = Lab::new();
    let deep = format!(
        r#"{{"grant_type":"client_credentials","a":{}1{}}}"#,
        "[".repeat(2000),
        "]".repeat(2000)
    );
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"grant_type=client_credentials\"",
        r#"{"grant_type":"client_credentials","grant_type":"client_credentials"}"#,
        r#"{"grant_type":"client_credentials","gr\u0061nt_type":"client_credentials"}"#,
        r#"{"grant_type":["client_credentials"]}"#,
        r#"{"grant_type":"client_credentials","client_id":1}"#,
        r#"{"grant_type":"client_credentials","client_secret":{"a":"b"}}"#,
        r#"{"grant_type":"client_credentials"} {}"#,
        "{\"grant_type\":\"\u{0}\"}",
        &deep,
    ] {
        let headers = [("content-type", "application/json")];
        for service in [lab.server.token_endpoint(), lab.server.refresh_endpoint()] {
            let answer = send(service, &headers, body.to_owned()).await;
            assert_refused(&answer, 400, "invalid_request", body);
        }
    }
    let not_utf8 = send(
        lab.server.token_endpoint(),
        &[("content-type", "application/json")],
        &b"{\"grant_type\":\"\xff\"}"[..],
    );
    assert_refused(&not_utf8.await, 400, "invalid_request", "not UTF-8");
}

/// attacks.md 37: a wrong media type.
#[tokio::test]
async fn other_media_types_are_415_and_say_what_is_accepted() {
    let lab = Lab::new();
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "multipart/form-data; boundary=a")],
        &[("content-type", "application/jsonp")],
        &[("content-type", "application/xml, application/json")],
        &[("content-type", FORM), ("content-type", FORM)],
        &[("content-type", FORM), ("content-encoding", "gzip")],
    ] {
        let answer = send(lab.server.token_endpoint(), headers, form(&GOOD)).await;
        assert_refused(&answer, 415, "invalid_request", &format!("{headers:?}"));
        let accepted = answer.header("accept").or(answer.header("accept-encoding"));
        assert!(accepted.is_some());
    }
    // Forms alone by the letter of RFC 6749.
    let json = r#"{"grant_type":"client_credentials"}"#;
    let answer = send(
        lab.server.oauth_endpoint(),
        &[("content-type", "application/json")],
        json,
    )
    .await;
    assert_refused(&answer, 415, "invalid_request", "JSON");
    assert_eq!(answer.header("accept"), Some(FORM));
}

/// attacks.md 37: a body of 1 MB, with its length and without, and one without an end.
#[tokio::test]
async fn bodies_over_16_kib_are_413_and_not_read_to_their_end() {
    let lab = Lab::new();
    let mut exact = form(&GOOD) + "&a=";
    exact.push_str(&"a".repeat(16 * 1024 - exact.len()));
    granted(
        send(
            lab.server.token_endpoint(),
            &[("content-type", FORM)],
            exact.clone(),
        )
        .await,
    );
    for body in [exact + "a", "a".repeat(1 << 20)] {
        let length = body.len().to_string();
        for headers in [
            &[("content-type", FORM)][..],
            &[("content-type", FORM), ("content-length", &length)],
        ] {
            let answer = send(lab.server.token_endpoint(), headers, body.clone()).await;
            assert_refused(&answer, 413, "invalid_request", &length);
        }
    }
    let endless = futures_util::stream::repeat_with(|| {
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'a'; 1024])))
    });
    let request = lab::request(
        Method::POST,
        &[("content-type", FORM)],
        StreamBody::new(endless),
    );
    let answer = lab::send_request(lab.server.token_endpoint(), request).await;
    assert_refused(&answer, 413, "invalid_request", "endless");
}

/// A body that never comes, or breaks off.
struct Stuck(bool);

impl Body for Stuck {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.0 {
            Poll::Ready(Some(Err(std::io::Error::other("broken off"))))
        } else {
            Poll::Pending
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408_and_one_that_breaks_off_400() {
    let lab = Lab::with(|builder| builder.body_timeout(Duration::from_secs(3)));
    let began = tokio::time::Instant::now();
    for (broken, status) in [(false, 408), (true, 400)] {
        let request = lab::request(Method::POST, &[("content-type", FORM)], Stuck(broken));
        let answer = lab::send_request(lab.server.token_endpoint(), request).await;
        assert_refused(&answer, status, "invalid_request", "stuck");
    }
    assert_eq!(began.elapsed().as_secs(), 3);
}

/// What a client sent is not told to anybody.
#[tokio::test]
async fn no_answer_repeats_what_was_sent() {
    let lab = Lab::new();
    for pairs in [
        [
            ("grant_type", "x-evil-\r\nx-evil: 1"),
            ("scope", "\"x-evil\\"),
        ],
        [
            ("grant_type", "client_credentials"),
            ("client_id", "x-evil"),
        ],
        [("grant_type", "client_credentials"), ("scope", "x-evil")],
    ] {
        for service in [lab.server.token_endpoint(), lab.server.oauth_endpoint()] {
            let answer = post(service, &pairs).await;
            assert!(!format!("{answer:?}").contains("x-evil"), "{answer:?}");
        }
    }
}
