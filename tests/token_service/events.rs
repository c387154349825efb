//! What the observer of an application is told.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use tower_bearer::{
    ManualClock,
    token_service::{
        InMemoryRefreshStore, RefreshDecision, TokenEvent, TokenEventKind, TokenService,
    },
};

use crate::lab::{self, FORM, Lab, form, granted, request, send_request, text};

type Told = Arc<Mutex<Vec<(String, Option<String>)>>>;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A server whose events are written down: kind, client, subject, peer, endpoint and reason, and the family.
fn observed() -> (Lab, Told) {
    let told = Told::default();
    let telling = Arc::clone(&told);
    let lab = Lab::with(|builder| {
        let clock = ManualClock::new(lab::NOW);
        builder
            .refresh_tokens(InMemoryRefreshStore::with_settings(clock, 2))
            .may_refresh(async |grant| {
                Ok(match grant.subject() {
                    "locked" => RefreshDecision::deny(),
                    "gone" => RefreshDecision::end(),
                    _ => RefreshDecision::allow(grant),
                })
            })
            .observer(move |event: &TokenEvent<'_>| {
                let line = format!(
                    "{:?} {} {} {} {} {}",
                    event.kind,
                    event.client_id.unwrap_or("-"),
                    event.subject.unwrap_or("-"),
                    event.peer.map_or("-".to_owned(), |peer| peer.to_string()),
                    event.endpoint.unwrap_or("-"),
                    event.reason
                );
                let family = event.family_id.map(str::to_owned);
                telling.lock().unwrap().push((line, family));
            })
    });
    (lab, told)
}

async fn post(service: TokenService, pairs: &[(&str, &str)]) -> crate::support::Answer {
    let headers = [("content-type", FORM)];
    let body = Full::new(Bytes::from(form(pairs)));
    let mut request = request(Method::POST, &headers, body);
    request.extensions_mut().insert(PEER);
    send_request(service, request).await
}

/// What was told since this was last asked.
fn since(told: &Told) -> Vec<String> {
    let told = std::mem::take(&mut *told.lock().unwrap());
    told.into_iter()
        .map(|(line, _)| line.trim_end().to_owned())
        .collect()
}

#[tokio::test]
async fn each_thing_that_happens_is_told_once_with_who_and_why() {
    let (lab, told) = observed();
    let gen_client = [("client_id", "gen"), ("client_secret", &*lab.secret)];
    let with = |pairs: &[(&'static str, &str)]| {
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs.iter().chain(&gen_client) {
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        all
    };
    let ask = async |service: TokenService, pairs: Vec<(String, String)>| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        post(service, &pairs).await
    };
    let credentials = with(&[("grant_type", "client_credentials")]);
    let tokens = granted(ask(lab.server.token_endpoint(), credentials.clone()).await);
    assert_eq!(since(&told), ["Issued gen gen 192.0.2.1 token"]);
    let first = text(&tokens, "refresh_token");

    let refresh =
        async |token: &str| post(lab.server.refresh_endpoint(), &[("refresh_token", token)]).await;
    granted(refresh(&first).await);
    assert_eq!(since(&told), ["Refreshed gen gen 192.0.2.1 refresh"]);
    refresh(&first).await;
    assert_eq!(
        since(&told),
        ["Reused gen gen 192.0.2.1 refresh token_reused"]
    );
    refresh(&first).await;
    assert_eq!(
        since(&told),
        ["Rejected - - 192.0.2.1 refresh token_unknown"]
    );

    let wrong = [
        ("grant_type", "client_credentials"),
        ("client_id", "no\nbody"),
        ("client_secret", "x"),
    ];
    post(lab.server.oauth_endpoint(), &wrong).await;
    assert_eq!(
        since(&told),
        ["Rejected no\nbody - 192.0.2.1 oauth invalid_client"]
    );

    for (subject, expected) in [
        (
            "locked",
            vec!["Rejected gen locked 192.0.2.1 refresh refresh_denied"],
        ),
        (
            "gone",
            vec![
                "Ended gen gone - - refresh_denied",
                "Rejected gen gone 192.0.2.1 refresh refresh_denied",
            ],
        ),
    ] {
        let tokens = lab.server.issue("gen", subject, None).await.unwrap();
        assert_eq!(since(&told), [format!("Issued gen {subject} - -")]);
        refresh(tokens.refresh_token().unwrap()).await;
        assert_eq!(since(&told), expected);
    }
    lab.server.issue("nobody", "alice", None).await.unwrap_err();
    assert_eq!(since(&told), ["Rejected nobody - - - client_unknown"]);
    lab.server.issue("gen", "svc", None).await.unwrap_err();
    assert_eq!(since(&told), ["Rejected gen - - - invalid_subject"]);

    // There is room for two, of which one is there.
    lab.server.issue("gen", "alice", None).await.unwrap();
    since(&told);
    let tokens = lab.server.issue("gen", "bob", None).await.unwrap();
    let lines = since(&told);
    assert!(lines[0].starts_with("EndedForRoom gen "), "{lines:?}");
    assert_eq!(lines[1..], ["Issued gen bob - -"]);
    let (access, refresh) = (tokens.access_token(), tokens.refresh_token().unwrap());
    // What is unknown is answered 200 as well, and nothing has happened.
    for (token, expected) in [
        (access, &["Revoked gen bob 192.0.2.1 revocation"][..]),
        (refresh, &["Revoked gen bob 192.0.2.1 revocation"]),
        (refresh, &[]),
        ("nope", &[]),
    ] {
        let pairs = with(&[("token", token)]);
        let answer = ask(lab.server.revocation_endpoint(), pairs).await;
        assert_eq!(answer.status, 200);
        assert_eq!(since(&told), expected);
    }
    let ended = lab.server.end_families("gen").await.unwrap();
    let lines = since(&told);
    assert_eq!(lines.len(), ended);
    assert!(
        lines.iter().all(|line| line.ends_with("- - ended")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_family_is_named_by_its_id_throughout() {
    let (lab, told) = observed();
    let tokens = lab.server.issue("gen", "alice", None).await.unwrap();
    let family = lab_family(&told);
    let tokens = granted(lab.refresh(tokens.refresh_token().unwrap()).await);
    assert_eq!(lab_family(&told), family);
    assert!(
        lab.server
            .end(&text(&tokens, "refresh_token"))
            .await
            .unwrap()
    );
    assert_eq!(lab_family(&told), family);
    assert_ne!(TokenEventKind::Ended, TokenEventKind::Revoked);
}

/// The family of the only event since the last.
fn lab_family(told: &Told) -> String {
    let mut told = told.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0).1.unwrap()
}
