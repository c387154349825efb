//! What the application has a say in: session data, claims that are looked up, and each refresh.

use std::{
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_bearer::{
    Revocation, StoreError,
    token_service::{Grant, IssueErrorKind, IssueRequest, RefreshDecision},
};

use crate::{
    lab::{DAY, Lab, MINUTE, granted, text},
    revocation::present,
};

/// What an application wants to know of a session.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Session {
    sid: String,
    auth_time: u64,
    refreshes: u32,
}

fn session() -> Session {
    Session {
        sid: "s-1 \"ü\"".to_owned(),
        auth_time: 1_800_000_000,
        refreshes: 0,
    }
}

fn claims(access_token: &str) -> Value {
    let payload = access_token.split('.').nth(1).unwrap();
    let payload = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(payload).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[tokio::test]
async fn session_data_is_given_to_the_claims_at_every_refresh_and_changed_by_the_hook() {
    let lab = Lab::with(|builder| {
        builder
            .extra_claims(|grant, claims| {
                let session = grant.session::<Session>().unwrap();
                claims.set("session", session);
            })
            .may_refresh(async |grant: Grant| {
                let mut session = grant.session::<Session>()?.unwrap();
                session.refreshes += 1;
                Ok(RefreshDecision::allow(grant.with_session(&session)?))
            })
    });
    let request = IssueRequest::new("gen", "alice")
        .scope("read")
        .session(&session());
    let tokens = lab.server.issue_for(request).await.unwrap();
    assert_eq!(claims(tokens.access_token())["session"], json!(session()));
    let mut refresh = tokens.refresh_token().unwrap().to_owned();
    for refreshes in 1..4 {
        let tokens = granted(lab.refresh(&refresh).await);
        refresh = text(&tokens, "refresh_token");
        let claims = claims(&text(&tokens, "access_token"));
        assert_eq!(claims["session"]["refreshes"], refreshes);
        assert_eq!(claims["session"]["sid"], session().sid);
        assert_eq!(claims["scope"], "read");
    }
    // It is the application's, and is shown nowhere.
    let family = lab.families_of("gen").await.remove(0);
    assert_eq!(
        family
            .grant()
            .session::<Session>()
            .unwrap()
            .unwrap()
            .refreshes,
        3
    );
    assert!(family.grant().session::<u8>().is_err());
    assert!(!format!("{family:?}").contains("s-1"));
}

#[tokio::test]
async fn session_data_is_bounded_and_resources_are_the_clients() {
    let lab = Lab::new();
    let kind = async |request| lab.server.issue_for(request).await.unwrap_err().kind();
    let request = || IssueRequest::new("gen", "alice");
    let longest = "x".repeat(4094);
    assert!(
        lab.server
            .issue_for(request().session(&longest))
            .await
            .is_ok()
    );
    let too_long = format!("{longest}x");
    assert_eq!(
        kind(request().session(&too_long)).await,
        IssueErrorKind::InvalidSession
    );
    let other = request().resource("https://other.example.com");
    assert_eq!(kind(other).await, IssueErrorKind::InvalidResource);
    let ours = request().resource("https://api.example.com/");
    let tokens = lab.server.issue_for(ours).await.unwrap();
    assert_eq!(
        claims(tokens.access_token())["aud"],
        "https://api.example.com"
    );
    assert_eq!(
        kind(request().scope("admin")).await,
        IssueErrorKind::InvalidScope
    );
    // What was issued without session data has none.
    let family = lab.families_of("gen").await.remove(0);
    assert!(
        family.grant().session::<Session>().is_err()
            || family.grant().session::<Session>().unwrap().is_none()
    );
}

/// The hooks may wait. While they cannot be asked, or take too long, nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_or_hangs_is_503_and_the_token_is_good_as_before() {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Good,
        Failing,
        Hanging,
    }
    for of_claims in [false, true] {
        let state = Arc::new(Mutex::new(State::Good));
        let is = Arc::clone(&state);
        let says = move || {
            let state = *is.lock().unwrap();
            async move {
                match state {
                    State::Good => Ok(()),
                    State::Failing => Err(StoreError::new("connection refused")),
                    State::Hanging => pending().await,
                }
            }
        };
        let lab = Lab::with(|builder| {
            let builder = builder.store_timeout(Duration::from_secs(1));
            match of_claims {
                true => builder.extra_claims_async(move |_, mut claims| {
                    let said = says();
                    async move {
                        said.await?;
                        claims.set("role", "admin");
                        Ok(claims)
                    }
                }),
                false => builder.may_refresh(move |grant| {
                    let said = says();
                    async move { said.await.map(|()| RefreshDecision::allow(grant)) }
                }),
            }
        });
        let mut token = lab.refresh_token().await;
        for bad in [State::Failing, State::Hanging] {
            *state.lock().unwrap() = bad;
            let answer = lab.refresh(&token).await;
            assert_eq!(answer.status, 503, "{}", answer.body);
            assert!(!answer.body.contains("refused"), "{}", answer.body);
            *state.lock().unwrap() = State::Good;
            let tokens = granted(lab.refresh(&token).await);
            token = text(&tokens, "refresh_token");
            let role = &claims(&text(&tokens, "access_token"))["role"];
            assert_eq!(*role == "admin", of_claims);
        }
    }
}

#[tokio::test]
async fn a_refresh_is_allowed_denied_or_ends_the_session() {
    let locked = Arc::new(AtomicBool::new(false));
    let gone = Arc::new(AtomicBool::new(false));
    let (is_locked, is_gone) = (Arc::clone(&locked), Arc::clone(&gone));
    let lab = Lab::with(|builder| {
        builder.may_refresh(move |grant| {
            let decision = if is_gone.load(Ordering::Relaxed) {
                RefreshDecision::end()
            } else if is_locked.load(Ordering::Relaxed) {
                RefreshDecision::deny()
            } else {
                // More than was granted is no more for it.
                RefreshDecision::allow(grant.with_scopes(["read", "admin"]))
            };
            ready(Ok(decision))
        })
    });
    let mut token = lab.refresh_token().await;
    let tokens = granted(lab.refresh(&token).await);
    assert_eq!(tokens["scope"], "read");
    token = text(&tokens, "refresh_token");
    let access = text(&tokens, "access_token");

    locked.store(true, Ordering::Relaxed);
    let denied = lab.refresh(&token).await;
    assert_eq!(denied.status, 401);
    let unknown = lab.refresh("nope").await;
    assert_eq!(denied.body, unknown.body, "nobody is told why");
    assert_eq!(present(&lab, &access).await.status, 200);
    locked.store(false, Ordering::Relaxed);
    token = text(&granted(lab.refresh(&token).await), "refresh_token");

    gone.store(true, Ordering::Relaxed);
    assert_eq!(lab.refresh(&token).await.status, 401);
    assert_eq!(present(&lab, &access).await.status, 401);
    gone.store(false, Ordering::Relaxed);
    assert_eq!(lab.refresh(&token).await.status, 401);
}

/// A token without a scope would pass wherever no scope is asked for.
#[tokio::test]
async fn a_refresh_that_leaves_no_scope_is_denied() {
    let none = Arc::new(AtomicBool::new(true));
    let leaves_none = Arc::clone(&none);
    let lab = Lab::with(|builder| {
        builder.may_refresh(move |grant| {
            let kept = match leaves_none.load(Ordering::Relaxed) {
                true => &["admin"][..],
                false => &["write"],
            };
            ready(Ok(RefreshDecision::allow(
                grant.with_scopes(kept.iter().copied()),
            )))
        })
    });
    let token = lab.refresh_token().await;
    let answer = lab.refresh(&token).await;
    assert_eq!(
        (answer.status.as_u16(), answer.member("error")),
        (401, "invalid_grant".into())
    );
    none.store(false, Ordering::Relaxed);
    assert_eq!(granted(lab.refresh(&token).await)["scope"], "write");
}

/// A token that was used before is not asked about.
#[tokio::test]
async fn a_reused_token_is_not_asked_about() {
    let asked = Arc::new(Mutex::new(0));
    let counting = Arc::clone(&asked);
    let lab = Lab::with(|builder| {
        builder.may_refresh(move |grant| {
            *counting.lock().unwrap() += 1;
            ready(Ok(RefreshDecision::allow(grant)))
        })
    });
    let token = lab.refresh_token().await;
    granted(lab.refresh(&token).await);
    assert_eq!(lab.refresh(&token).await.status, 401);
    assert_eq!(*asked.lock().unwrap(), 1);
}

/// What was revoked for a subject or a client is so for refresh tokens too.
#[tokio::test]
async fn a_cut_off_ends_the_sessions_from_before_it() {
    let lab = Lab::new();
    let login = async |subject: &str| {
        let tokens = lab.server.issue("gen", subject, None).await.unwrap();
        tokens.refresh_token().unwrap().to_owned()
    };
    let (alice, bob) = (login("alice").await, login("bob").await);
    lab.clock.advance(MINUTE);
    lab.revocation
        .revoke_subject("alice", lab.clock_now())
        .await
        .unwrap();
    lab.clock.advance(MINUTE);
    let later = login("alice").await;
    assert_eq!(lab.refresh(&alice).await.status, 401);
    for token in [&bob, &later] {
        granted(lab.refresh(token).await);
    }
    lab.revocation
        .revoke_client("gen", lab.clock_now())
        .await
        .unwrap();
    lab.clock.advance(MINUTE);
    let last = login("alice").await;
    granted(lab.refresh(&last).await);
    assert_eq!(
        lab.families_of("gen").await.len(),
        3,
        "of bob, the later one, and the last"
    );
}

#[tokio::test]
async fn all_access_is_taken_from_a_user_or_a_client() {
    let lab = Lab::new();
    for of_client in [false, true] {
        // An access token without a family, and one with one.
        let (client, user) = ("gen", "alice");
        let tokens = lab.server.issue(client, user, None).await.unwrap();
        let (access, refresh) = (tokens.access_token(), tokens.refresh_token().unwrap());
        assert_eq!(present(&lab, access).await.status, 200);
        lab.clock.advance(MINUTE);
        let ended = match of_client {
            true => lab.server.revoke_client(client).await,
            false => lab.server.revoke_subject(user).await,
        };
        assert_eq!(ended.unwrap(), 1);
        assert_eq!(present(&lab, access).await.status, 401);
        assert_eq!(lab.refresh(refresh).await.status, 401);
        // Neither does it come back when the cut-off is forgotten.
        lab.clock.advance(3 * DAY);
        assert_eq!(lab.refresh(refresh).await.status, 401);
        lab.clock.advance(MINUTE);
    }
}
