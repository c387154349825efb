//! Tokens for somebody whom the application has authenticated by itself.

use std::time::Duration;

use tower_bearer::token_service::{Client, IssueErrorKind};

use crate::{
    lab::{self, Lab, granted, opened, post, text},
    support::Answer,
};

#[tokio::test]
async fn a_user_gets_tokens_by_a_client_and_refreshes_them_like_any_other() {
    let lab = Lab::new();
    let tokens = lab
        .server
        .issue("gen", "alice", Some("read"))
        .await
        .unwrap();
    assert_eq!(tokens.expires_in(), Duration::from_secs(900));
    let (_, claims) = opened(tokens.access_token());
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&"alice".into(), &"gen".into())
    );
    assert_eq!(claims["scope"], "read");
    let debug = format!("{tokens:?}");
    let token = tokens.refresh_token().expect("a refresh token").to_owned();
    assert!(!debug.contains(tokens.access_token()) && !debug.contains(&token));
    // What the application needs to revoke the token again.
    assert_eq!(claims["jti"], tokens.access_token_id());
    assert_eq!(claims["exp"], tokens.expires_at().as_secs());

    let answer = granted(Answer::of(tokens.into_response()).await);
    assert_eq!(answer["refresh_token"], token);
    let tokens = granted(lab.refresh(&token).await);
    assert_eq!(opened(&text(&tokens, "access_token")).1["sub"], "alice");
    let wider = [
        ("refresh_token", &*text(&tokens, "refresh_token")),
        ("scope", "read write"),
    ];
    assert_eq!(
        post(lab.server.refresh_endpoint(), &wider)
            .await
            .member("error"),
        "invalid_scope"
    );
    lab.clock.advance(15 * lab::DAY);
    assert_eq!(
        lab.refresh(&text(&tokens, "refresh_token")).await.status,
        401
    );
}

/// A handler tells 403 from 503 by the kind of the error.
#[tokio::test]
async fn nobody_gets_what_the_client_may_not_have() {
    let lab = Lab::new();
    for (client, subject, scope, kind) in [
        ("nobody", "alice", None, IssueErrorKind::UnknownClient),
        ("gen", "alice", Some("admin"), IssueErrorKind::InvalidScope),
        ("gen", "alice", Some(""), IssueErrorKind::InvalidScope),
        ("gen", "alice", Some("\""), IssueErrorKind::InvalidScope),
        ("gen", "", None, IssueErrorKind::InvalidSubject),
        // RFC 9700 §4.15: the user would be taken for a client.
        ("gen", "gen", None, IssueErrorKind::InvalidSubject),
        ("gen", "svc", None, IssueErrorKind::InvalidSubject),
    ] {
        let error = lab.server.issue(client, subject, scope).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{client} {subject} {scope:?}");
        assert!(!error.to_string().is_empty());
        let answer = Answer::of(error.to_response()).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.member("detail"), "Access denied");
    }
    let whole = lab.server.issue("gen", "alice", None).await.unwrap();
    assert_eq!(opened(whole.access_token()).1["scope"], "read write");
}

#[tokio::test]
async fn client_ids_are_subjects_by_the_word_of_the_user_alone() {
    let lab = Lab::with(|builder| builder.allow_client_ids_as_subjects());
    let tokens = lab.server.issue("gen", "svc", None).await.unwrap();
    assert_eq!(opened(tokens.access_token()).1["sub"], "svc");
}

#[tokio::test]
async fn client_without_the_refresh_token_grant_gets_no_refresh_token() {
    let lab = Lab::new();
    let client = Client::builder("once")
        .secret(lab::chosen())
        .grant_types([]);
    lab.clients.set(client.build().unwrap());
    let tokens = lab.server.issue("once", "alice", None).await.unwrap();
    assert_eq!(tokens.refresh_token(), None);
}
