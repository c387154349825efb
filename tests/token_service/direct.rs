//! Tokens for somebody whom the application has authenticated by itself.

use std::time::Duration;

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
    assert!(!debug.contains(tokens.access_token()) && !debug.contains(tokens.refresh_token()));

    let token = tokens.refresh_token().to_owned();
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

#[tokio::test]
async fn nobody_gets_what_the_client_may_not_have() {
    let lab = Lab::new();
    for (client, scope) in [
        ("nobody", None),
        ("gen", Some("admin")),
        ("gen", Some("")),
        ("gen", Some("\"")),
    ] {
        let error = lab.server.issue(client, "alice", scope).await.unwrap_err();
        assert!(!error.to_string().is_empty(), "{client} {scope:?}");
    }
    let whole = lab.server.issue("gen", "alice", None).await.unwrap();
    assert_eq!(opened(whole.access_token()).1["scope"], "read write");
}
