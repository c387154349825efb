//! A user is logged out: sessions end, and with them the access tokens that they have issued (RFC 7009 §2.1).

use std::{
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use tower_bearer::{
    BoxFuture, InMemoryRevocation, NumericDate, RegisteredClaims, Revocation, Revoked, StoreError,
    token_service::{Client, TokenEventKind},
};

use crate::{
    lab::{DAY, Lab, MINUTE, chosen, granted, post_as, text},
    revocation::present,
};

/// Tokens of a user, as a client gets them after a login.
struct Session {
    access: String,
    refresh: String,
}

async fn login(lab: &Lab, client_id: &str, subject: &str) -> Session {
    let tokens = lab.server.issue(client_id, subject, None).await.unwrap();
    Session {
        access: tokens.access_token().to_owned(),
        refresh: tokens.refresh_token().unwrap().to_owned(),
    }
}

impl Session {
    /// Rotates its token, and returns the access token before.
    async fn refresh(&mut self, lab: &Lab) -> String {
        let tokens: Value = granted(lab.refresh(&self.refresh).await);
        self.refresh = text(&tokens, "refresh_token");
        std::mem::replace(&mut self.access, text(&tokens, "access_token"))
    }

    /// Whether its access token is accepted, and its refresh token.
    async fn works(&mut self, lab: &Lab) -> (bool, bool) {
        let access = present(lab, &self.access).await.status == 200;
        let refreshed = lab.refresh(&self.refresh).await;
        if refreshed.status == 200 {
            self.refresh = text(&granted(refreshed), "refresh_token");
            return (access, true);
        }
        (access, false)
    }
}

#[tokio::test]
async fn a_session_ends_by_its_refresh_token_whichever_of_them() {
    let lab = Lab::new();
    let mut other = login(&lab, "gen", "alice").await;
    for rotations in 0..3 {
        let mut session = login(&lab, "gen", "alice").await;
        let first = session.refresh.clone();
        let mut before = Vec::new();
        for _ in 0..rotations {
            before.push(session.refresh(&lab).await);
        }
        assert!(lab.server.end(&first).await.unwrap());
        assert_eq!(session.works(&lab).await, (false, false));
        for access in before {
            assert_eq!(present(&lab, &access).await.status, 401, "an earlier one");
        }
        assert!(!lab.server.end(&first).await.unwrap(), "it has ended");
    }
    assert_eq!(other.works(&lab).await, (true, true));
    // One that was never issued ends nothing, whatever family it names.
    let mut made_up = other.refresh.clone();
    made_up.replace_range(30..34, "AAAA");
    for token in ["", "nope", &made_up] {
        assert!(!lab.server.end(token).await.unwrap(), "{token}");
    }
    assert_eq!(other.works(&lab).await, (true, true));
}

#[tokio::test]
async fn a_user_is_logged_out_of_one_client_or_everywhere() {
    let lab = Lab::new();
    let logins = async || {
        let mut sessions = Vec::new();
        for (client, user) in [
            ("gen", "alice"),
            ("gen", "alice"),
            ("svc", "alice"),
            ("gen", "bob"),
        ] {
            let mut session = login(&lab, client, user).await;
            session.refresh(&lab).await;
            sessions.push(session);
        }
        sessions
    };
    let works = async |sessions: &mut [Session]| {
        let mut works = Vec::new();
        for session in sessions {
            let (access, refresh) = session.works(&lab).await;
            assert_eq!(access, refresh);
            works.push(access);
        }
        works
    };
    let mut sessions = logins().await;
    assert_eq!(lab.server.end_families_of("gen", "alice").await.unwrap(), 2);
    assert_eq!(works(&mut sessions).await, [false, false, true, true]);
    assert_eq!(lab.server.end_families_of("gen", "alice").await.unwrap(), 0);
    assert_eq!(
        lab.server.end_families_of("nobody", "alice").await.unwrap(),
        0
    );
    assert_eq!(
        lab.server.end_families_of_subject("alice").await.unwrap(),
        1
    );
    assert_eq!(works(&mut sessions).await, [false, false, false, true]);
    assert_eq!(lab.server.end_families("gen").await.unwrap(), 1);
    assert_eq!(works(&mut sessions).await, [false; 4]);
}

/// More than a store ends at once.
#[tokio::test]
async fn thousands_of_sessions_end() {
    let lab = Lab::new();
    for _ in 0..1500 {
        login(&lab, "gen", "alice").await;
    }
    let mut other = login(&lab, "svc", "alice").await;
    assert_eq!(
        lab.server.end_families_of("gen", "alice").await.unwrap(),
        1500
    );
    assert_eq!(other.works(&lab).await, (true, true));
}

#[tokio::test]
async fn whoever_uses_a_token_again_loses_the_access_tokens_too() {
    let lab = Lab::new();
    let mut session = login(&lab, "gen", "alice").await;
    let stolen = session.refresh.clone();
    let first = session.refresh(&lab).await;
    assert_eq!(present(&lab, &first).await.status, 200);
    assert_eq!(lab.refresh(&stolen).await.status, 401);
    assert_eq!(present(&lab, &first).await.status, 401);
    assert_eq!(session.works(&lab).await, (false, false));
}

/// RFC 7009 §2.1: revoking a refresh token ends the access tokens of the same grant.
#[tokio::test]
async fn a_revoked_refresh_token_takes_the_access_tokens_with_it() {
    let lab = Lab::new();
    let mut session = login(&lab, "gen", "alice").await;
    let first = session.refresh(&lab).await;
    let pairs = [("token", &*session.refresh)];
    let answer = post_as(lab.server.revocation_endpoint(), &lab.basic(), &pairs).await;
    assert_eq!(answer.status, 200);
    assert_eq!(present(&lab, &first).await.status, 401);
    assert_eq!(session.works(&lab).await, (false, false));
}

#[tokio::test]
async fn a_refresh_revokes_the_access_token_before_where_that_is_asked_for() {
    for (asked_for, status) in [(false, 200), (true, 401)] {
        let lab = Lab::with(|builder| match asked_for {
            true => builder.revoke_access_tokens_at_refresh(),
            false => builder,
        });
        let mut session = login(&lab, "gen", "alice").await;
        for _ in 0..3 {
            lab.clock.advance(MINUTE);
            let before = session.refresh(&lab).await;
            assert_eq!(present(&lab, &before).await.status, status);
            assert_eq!(present(&lab, &session.access).await.status, 200);
        }
    }
}

/// One client that fills the store takes no session of another.
#[tokio::test]
async fn a_family_that_ends_for_room_takes_its_access_token_with_it() {
    use tower_bearer::token_service::InMemoryRefreshStore;

    let lab = Lab::with(|builder| {
        let clock = tower_bearer::ManualClock::new(crate::lab::NOW);
        builder.refresh_tokens(InMemoryRefreshStore::with_settings(clock, 2))
    });
    let mut first = login(&lab, "gen", "alice").await;
    let mut other = login(&lab, "svc", "alice").await;
    let mut last = login(&lab, "gen", "bob").await;
    let worked = [&mut first, &mut other, &mut last];
    let mut works = Vec::new();
    for session in worked {
        works.push(session.works(&lab).await);
    }
    works.sort();
    assert_eq!(works, [(false, false), (true, true), (true, true)]);
    let client = Client::builder("svc").secret(chosen()).build().unwrap();
    assert_eq!(client.id(), "svc");
    assert_eq!(other.works(&lab).await, (true, true));
}

/// A list of revocations that revokes nothing while it is down.
#[derive(Clone)]
struct Flaky {
    list: InMemoryRevocation,
    is_down: Arc<AtomicBool>,
}

impl Flaky {
    fn revoke(
        &self,
        by: impl FnOnce(&InMemoryRevocation) -> BoxFuture<Result<(), StoreError>>,
    ) -> BoxFuture<Result<(), StoreError>> {
        match self.is_down.load(Ordering::Relaxed) {
            true => Box::pin(ready(Err(StoreError::new("connection refused")))),
            false => by(&self.list),
        }
    }
}

impl Revocation for Flaky {
    fn is_revoked(&self, claims: &RegisteredClaims) -> Revoked {
        self.list.is_revoked(claims)
    }
    fn revoke_token(&self, id: &str, end: NumericDate) -> BoxFuture<Result<(), StoreError>> {
        self.revoke(|list| list.revoke_token(id, end))
    }
    fn revoke_client(&self, id: &str, until: NumericDate) -> BoxFuture<Result<(), StoreError>> {
        self.revoke(|list| list.revoke_client(id, until))
    }
    fn revoke_subject(&self, id: &str, until: NumericDate) -> BoxFuture<Result<(), StoreError>> {
        self.revoke(|list| list.revoke_subject(id, until))
    }
}

/// What has happened, and to whom.
type Told = (TokenEventKind, Option<String>);

/// While the access token before cannot be revoked, nothing is rotated and no session is lost; and a theft is told even
/// then, because the next use of the token finds no family.
#[tokio::test]
async fn a_list_of_revocations_that_is_down_loses_no_session_and_hides_no_theft() {
    let is_down = Arc::new(AtomicBool::new(false));
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let lab = Lab::with(|builder| {
        let list = InMemoryRevocation::with_settings(tower_bearer::SystemClock, 90 * DAY);
        let is_down = Arc::clone(&is_down);
        let told = Arc::clone(&told);
        builder
            .revocation(Flaky { list, is_down })
            .revoke_access_tokens_at_refresh()
            .observer(move |event| {
                let subject = event.subject.map(str::to_owned);
                told.lock().unwrap().push((event.kind, subject));
            })
    });
    let tokens = lab.server.issue("gen", "alice", None).await.unwrap();
    let first = tokens.refresh_token().unwrap();
    let before = lab.families_of("gen").await;
    is_down.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(lab.refresh(first).await.status, 503);
    }
    // So that the next attempt may come to another process.
    assert_eq!(lab.families_of("gen").await, before);
    is_down.store(false, Ordering::Relaxed);
    let second = text(&granted(lab.refresh(first).await), "refresh_token");

    is_down.store(true, Ordering::Relaxed);
    told.lock().unwrap().clear();
    assert_eq!(lab.refresh(first).await.status, 503);
    let reused = (TokenEventKind::Reused, Some("alice".to_owned()));
    assert!(told.lock().unwrap().contains(&reused), "{told:?}");
    is_down.store(false, Ordering::Relaxed);
    assert_eq!(
        lab.refresh(&second).await.status,
        401,
        "the family has ended"
    );
}
