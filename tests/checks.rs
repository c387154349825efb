//! Checks: their order, scopes, what needs time, and tokens that are bound to a key.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::{
    pin::pin,
    sync::{Arc, Mutex},
};

use futures_util::poll;
use support::{any_token, good_token, request, request_to, send};
use tokio::sync::oneshot;
use tower_bearer::{
    AuthError, AuthErrorKind, BearerAuthLayer, BearerToken, Check, CheckContext, Checked, Claims,
    Confirmation, RequireScopes, TokenSource, Verifier, reason, verify_fn,
};

type Log = Arc<Mutex<Vec<&'static str>>>;

/// Writes its name down when it is asked, and answers at once.
struct Named(&'static str, Log, Result<(), AuthError>);

impl Check<()> for Named {
    fn check(&self, _: &CheckContext<'_, ()>) -> Checked {
        self.1.lock().unwrap().push(self.0);
        self.2.clone().into()
    }
}

type Answer = Result<(), AuthError>;

/// Writes its name down when it is asked, and answers when it is told to.
struct Slow(&'static str, Log, Mutex<Option<oneshot::Receiver<Answer>>>);

impl Slow {
    fn new(name: &'static str, log: &Log) -> (oneshot::Sender<Answer>, Self) {
        let (answer, receiver) = oneshot::channel();
        (
            answer,
            Self(name, Arc::clone(log), Mutex::new(Some(receiver))),
        )
    }
}

impl Check<()> for Slow {
    fn check(&self, _: &CheckContext<'_, ()>) -> Checked {
        self.1.lock().unwrap().push(self.0);
        let receiver = self.2.lock().unwrap().take().expect("asked once");
        Checked::Pending(Box::pin(async move { receiver.await.unwrap() }))
    }
}

fn authorized() -> http::Request<support::Text> {
    request(&[("authorization", "Bearer good")])
}

#[tokio::test]
async fn the_first_refusal_decides() {
    let deny = |reason| Err(AuthError::access_denied(reason));
    for (answers, asked, reason) in [
        ([Ok(()), Ok(()), Ok(())], &["a", "b", "c"][..], ""),
        ([deny("by_a"), Ok(()), deny("by_c")], &["a"], "by_a"),
        ([Ok(()), deny("by_b"), deny("by_c")], &["a", "b"], "by_b"),
        ([Ok(()), Ok(()), deny("by_c")], &["a", "b", "c"], "by_c"),
    ] {
        let log = Log::default();
        let [a, b, c] = answers;
        let layer = BearerAuthLayer::new(good_token())
            .check(Named("a", Arc::clone(&log), a))
            .check(Arc::new(Named("b", Arc::clone(&log), b)))
            .check(Named("c", Arc::clone(&log), c));
        let (answer, seen) = send(&layer, authorized()).await;
        assert_eq!(*log.lock().unwrap(), asked);
        assert_eq!(answer.reason(), reason);
        assert_eq!(
            answer.status.as_u16(),
            if reason.is_empty() { 200 } else { 403 }
        );
        assert_eq!(seen.is_some(), reason.is_empty());
    }
}

/// No check is asked about a token that does not hold, or that is not there.
#[tokio::test]
async fn checks_come_after_the_verdict() {
    let log = Log::default();
    let layer = BearerAuthLayer::new(good_token())
        .optional()
        .exempt(|parts| parts.uri.path() == "/open")
        .check(Named("a", Arc::clone(&log), Ok(())));
    send(&layer, request(&[("authorization", "Bearer bad")])).await;
    send(&layer, request(&[("authorization", "Bearer")])).await;
    send(&layer, request(&[])).await;
    send(
        &layer,
        request_to("/open", &[("authorization", "Bearer good")]),
    )
    .await;
    assert!(log.lock().unwrap().is_empty());
    send(&layer, authorized()).await;
    assert_eq!(*log.lock().unwrap(), ["a"]);
}

/// A check behind one that needs time is not asked before that one has answered.
#[tokio::test]
async fn checks_that_need_time() {
    for (second, status, asked) in [
        (Ok(()), 200, &["ready", "first", "second", "last"][..]),
        (
            Err(AuthError::access_denied("late")),
            403,
            &["ready", "first", "second"],
        ),
    ] {
        let log = Log::default();
        let (first_answer, first) = Slow::new("first", &log);
        let (second_answer, slow) = Slow::new("second", &log);
        let layer = BearerAuthLayer::new(good_token())
            .check(Named("ready", Arc::clone(&log), Ok(())))
            .check(first)
            .check(slow)
            .check(Named("last", Arc::clone(&log), Ok(())));
        let mut sent = pin!(send(&layer, authorized()));
        assert!(poll!(&mut sent).is_pending());
        assert_eq!(*log.lock().unwrap(), ["ready", "first"]);
        first_answer.send(Ok(())).unwrap();
        assert!(poll!(&mut sent).is_pending());
        assert_eq!(*log.lock().unwrap(), ["ready", "first", "second"]);
        second_answer.send(second).unwrap();
        let (answer, seen) = sent.await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(*log.lock().unwrap(), asked);
        assert_eq!(
            seen.map(|seen| seen.subject().unwrap()),
            (status == 200).then(|| "alice".to_owned())
        );
    }
}

#[tokio::test]
async fn a_closure_as_a_check() {
    let layer = BearerAuthLayer::new(any_token()).check_fn(|cx: &CheckContext<'_, ()>| {
        match (cx.claims().registered().subject(), cx.request().uri.path()) {
            (Some("mallory"), _) => Err(AuthError::access_denied("mallory")),
            (_, "/down") => Err(AuthError::unavailable("tenants")),
            (_, "/twice") => Err(AuthError::invalid_request("twice", "Twice")),
            (_, "/revoked") => Err(AuthError::revoked_token()),
            _ => Ok(()),
        }
    });
    for (subject, path, status, reason) in [
        ("alice", "/", 200, ""),
        ("mallory", "/", 403, "mallory"),
        ("alice", "/down", 503, "tenants"),
        ("alice", "/twice", 400, "twice"),
        ("alice", "/revoked", 401, reason::TOKEN_REVOKED),
    ] {
        let line = format!("Bearer {subject}");
        let (answer, _) = send(&layer, request_to(path, &[("authorization", &line)])).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (status, reason));
    }
}

fn holding(scope: Option<&'static str>) -> impl Verifier<Claims = (), Future: Send> {
    verify_fn(move |_: BearerToken<'_>| {
        let claims = Claims::builder();
        Ok(scope
            .map_or(claims.clone(), |scope| claims.scope(scope))
            .build(()))
    })
}

/// RFC 6749 §3.3: scopes are compared as a whole and split on SP alone; RFC 6750 §3.1: the 403 names
/// what is needed.
#[tokio::test]
async fn scopes() {
    for (held, needed, all, any) in [
        (Some("read"), &["read"][..], true, true),
        (Some("read write"), &["read"], true, true),
        (Some("read write"), &["write", "read"], true, true),
        (Some("  read   write "), &["write", "read"], true, true),
        (Some("read"), &["read", "write"], false, true),
        (Some("write"), &["read", "write"], false, true),
        (Some("admin"), &["read", "write"], false, false),
        (Some(""), &["read"], false, false),
        (None, &["read"], false, false),
        // A part of a scope is another scope, and so is another case.
        (Some("reader"), &["read"], false, false),
        (Some("bread"), &["read"], false, false),
        (Some("read:all"), &["read"], false, false),
        (Some("rea"), &["read"], false, false),
        (Some("READ"), &["read"], false, false),
        (Some("read,write"), &["read"], false, false),
        (Some("read\twrite"), &["read"], false, false),
        (Some("read\u{a0}write"), &["write"], false, false),
        (Some("read\nwrite"), &["write"], false, false),
        (Some("read write"), &["read", "read"], true, true),
    ] {
        for (check, passes) in [
            (RequireScopes::all_of(needed.iter().copied()).unwrap(), all),
            (RequireScopes::any_of(needed.iter().copied()).unwrap(), any),
        ] {
            let of = format!("{held:?} {check:?}");
            let layer = BearerAuthLayer::new(holding(held)).check(check);
            let (answer, seen) = send(&layer, authorized()).await;
            assert_eq!(seen.is_some(), passes, "{of}");
            if passes {
                assert_eq!(answer.status, 200, "{of}");
                continue;
            }
            assert_eq!(answer.status, 403, "{of}");
            assert_eq!(
                answer.challenge(),
                format!(
                    "Bearer realm=\"api\", error=\"insufficient_scope\", \
                     error_description=\"Access denied\", scope=\"{}\"",
                    needed.join(" ")
                )
            );
            let error = answer.error.unwrap();
            assert_eq!(error.kind(), AuthErrorKind::InsufficientScope);
            assert_eq!(error.reason(), reason::INSUFFICIENT_SCOPE);
        }
    }
}

/// `CheckContext::credentials` finds the token again, wherever it stood.
#[tokio::test]
async fn the_credentials_of_a_request() {
    let found = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&found);
    let layer = BearerAuthLayer::new(any_token())
        .token_source(TokenSource::query("access_token").unwrap())
        .token_source(TokenSource::cookie("session").unwrap())
        .remove_token()
        .check_fn(move |cx: &CheckContext<'_, ()>| {
            let credentials = cx
                .credentials()
                .expect("the layer takes the token out at last");
            assert_eq!(credentials.scheme(), "Bearer");
            log.lock()
                .unwrap()
                .push(credentials.token().as_str().to_owned());
            Ok(())
        });
    send(&layer, request(&[("authorization", "bearer  header")])).await;
    send(&layer, request_to("/?access_token=qu%65ry", &[])).await;
    send(
        &layer,
        request(&[("authorization", "Basic x"), ("cookie", "session=cookie")]),
    )
    .await;
    assert_eq!(*found.lock().unwrap(), ["header", "query", "cookie"]);
}

/// Confirms what is bound to a key of a DPoP proof, if the request says so.
struct Proof;

impl Check<()> for Proof {
    fn check(&self, cx: &CheckContext<'_, ()>) -> Checked {
        match cx
            .claims()
            .registered()
            .confirmation()
            .map(Confirmation::jwk_thumbprint)
        {
            Some(_) if !cx.request().headers.contains_key("dpop") => {
                Err(AuthError::invalid_token("no_proof")).into()
            }
            _ => Ok(()).into(),
        }
    }

    fn confirms(&self, method: &str) -> bool {
        method == "jkt"
    }
}

/// A check that confirms one method, and lets all pass.
struct Confirms(&'static str);

impl Check<()> for Confirms {
    fn check(&self, _: &CheckContext<'_, ()>) -> Checked {
        Ok(()).into()
    }

    fn confirms(&self, method: &str) -> bool {
        method == self.0
    }
}

/// Attack 33, RFC 7800 §3.1: the methods in one `cnf` stand for one key, and each is confirmed.
#[tokio::test]
async fn attack_33_a_token_bound_by_two_methods_passes_only_if_each_is_confirmed() {
    let hash = "a".repeat(43);
    let jkt = format!("\"jkt\":\"{hash}\"");
    let x5t = format!("\"x5t#S256\":\"{hash}\"");
    let kid = "\"kid\":\"1\"".to_owned();
    for (members, checks, passes) in [
        (vec![&jkt, &x5t], vec![], false),
        (vec![&jkt, &x5t], vec!["jkt"], false),
        (vec![&jkt, &x5t], vec!["x5t#S256"], false),
        (vec![&x5t, &jkt], vec!["jkt"], false),
        (vec![&jkt, &x5t], vec!["jkt", "jkt"], false),
        (vec![&jkt, &x5t], vec!["jkt", "x5t#S256"], true),
        (vec![&jkt, &x5t], vec!["x5t#S256", "kid", "jkt"], true),
        (vec![&jkt, &kid], vec!["jkt", "x5t#S256"], false),
        (vec![&jkt, &kid], vec!["jkt", "kid"], true),
        (vec![&jkt, &x5t, &kid], vec!["jkt", "x5t#S256"], false),
        (vec![&kid], vec!["jkt", "x5t#S256", ""], false),
        (vec![&jkt], vec!["JKT", "jkt "], false),
        (vec![&jkt], vec!["x5t#S256", "jkt"], true),
    ] {
        let members: Vec<&str> = members.into_iter().map(String::as_str).collect();
        let cnf = format!("{{{}}}", members.join(","));
        let confirmation = Confirmation::from_json(&cnf).unwrap();
        let verifier = verify_fn(move |_: BearerToken<'_>| {
            let claims = Claims::builder().confirmation(confirmation.clone());
            Ok(claims.build(()))
        });
        let mut layer = BearerAuthLayer::new(verifier);
        for method in &checks {
            layer = layer.check(Confirms(method));
        }
        let (answer, seen) = send(&layer, authorized()).await;
        assert_eq!(seen.is_some(), passes, "{cnf} {checks:?}");
        if !passes {
            answer.assert_invalid(reason::TOKEN_BOUND, &cnf);
        }
    }
}

/// attacks.md 33: a token with `cnf` that no check can confirm is refused (RFC 7800 §3.1).
#[tokio::test]
async fn bound_tokens() {
    let hash = "a".repeat(43);
    let bound = |cnf: String| {
        let confirmation = Confirmation::from_json(&cnf).unwrap();
        verify_fn(move |_: BearerToken<'_>| {
            Ok(Claims::builder()
                .confirmation(confirmation.clone())
                .build(()))
        })
    };
    let jkt = format!("{{\"jkt\":\"{hash}\"}}");
    let x5t = format!("{{\"x5t#S256\":\"{hash}\"}}");
    let log = Log::default();
    let named = || Named("asked", Arc::clone(&log), Ok(()));
    let layer = |cnf: &str| BearerAuthLayer::new(bound(cnf.to_owned())).check(named());

    for cnf in [&*jkt, &x5t, "{\"kid\":\"1\"}"] {
        // No check, one that confirms nothing, and one that confirms another kind of proof.
        let others = [
            BearerAuthLayer::new(bound(cnf.to_owned())),
            layer(cnf),
            layer(cnf).optional(),
        ];
        for layer in others {
            let (answer, seen) = send(&layer, authorized()).await;
            assert!(seen.is_none(), "{cnf}");
            answer.assert_invalid(reason::TOKEN_BOUND, cnf);
        }
    }
    let (answer, _) = send(&layer(&x5t).check(Proof), authorized()).await;
    answer.assert_invalid(reason::TOKEN_BOUND, "another kind of proof");
    // It is refused before any check is asked.
    assert!(log.lock().unwrap().is_empty());

    // A check that confirms it lets it pass, or refuses it.
    let layer = layer(&jkt).check(Proof);
    let with_proof = request(&[("authorization", "Bearer good"), ("dpop", "proof")]);
    assert_eq!(send(&layer, with_proof).await.0.status, 200);
    send(&layer, authorized())
        .await
        .0
        .assert_invalid("no_proof", "no proof");
    // A token that is not bound needs no proof.
    let layer = BearerAuthLayer::new(good_token()).check(Proof);
    assert_eq!(send(&layer, authorized()).await.0.status, 200);
}

/// attacks.md 33: a malformed `cnf` is none.
#[test]
fn malformed_confirmations() {
    let hash = "a".repeat(43);
    for cnf in [
        "",
        " ",
        "{}",
        "[]",
        "null",
        "\"x\"",
        "1",
        "true",
        "{",
        "{\"jkt\"}",
        "{\"jkt\":}",
        "{\"jkt\":null}",
        "{\"jkt\":1}",
        "{\"jkt\":[]}",
        "{\"jkt\":\"\"}",
        "{\"jkt\":\"short\"}",
        "{\"x5t#S256\":null}",
        "{\"x5t#S256\":{}}",
        "{\"x5t#S256\":\"\"}",
        &format!("{{\"jkt\":\"{hash}a\"}}"),
        &format!("{{\"jkt\":\"{hash}=\"}}"),
        &format!("{{\"jkt\":\"{}+\"}}", &hash[..42]),
        &format!("{{\"jkt\":\"{}/\"}}", &hash[..42]),
        &format!("{{\"x5t#S256\":\"{}\"}}", &hash[..42]),
        &format!("{{\"jkt\":\"{hash}\",\"jkt\":\"{hash}\"}}"),
        &format!("{{\"jkt\":\"{hash}\",\"\\u006akt\":\"{hash}\"}}"),
        &format!("{{\"jkt\":\"{hash}\",\"x5t#S256\":1}}"),
        &format!("{{\"jkt\":\"{hash}\"}} x"),
        &format!("{{\"jkt\":\"{hash}\"}}{{}}"),
        &format!("{{\"jkt\":\"{hash}\",}}"),
    ] {
        let error = Confirmation::from_json(cnf).expect_err(cnf);
        assert!(
            error.to_string().contains("`cnf` must be a JSON object"),
            "{cnf}"
        );
    }

    let both = format!("{{\"jkt\":\"{hash}\",\"x5t\\u0023S256\":\"{hash}\",\"kid\":\"k-1\"}}");
    let confirmation = Confirmation::from_json(&both).unwrap();
    assert_eq!(confirmation.jwk_thumbprint(), Some(&*hash));
    assert_eq!(confirmation.certificate_thumbprint(), Some(&*hash));
    assert_eq!(confirmation.get::<String>("kid").as_deref(), Some("k-1"));
    assert_eq!(confirmation.get::<u64>("kid"), None);
    assert_eq!(confirmation.get::<String>("other"), None);
    let other = Confirmation::from_json("{\"kid\":\"k-1\"}").unwrap();
    assert_eq!(
        (other.jwk_thumbprint(), other.certificate_thumbprint()),
        (None, None)
    );
}
