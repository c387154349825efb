//! Rotation, reuse, expiry, grace: attacks.md 34 and 35, RFC 6749 §6, RFC 9700 §4.14.2.

use std::time::Duration;

use serde_json::json;
use tower_bearer::token_service::{Client, RefreshStore};

use crate::lab::{self, DAY, Lab, MINUTE, granted, opened, post, post_as, text};

/// attacks.md 34: a hundred at once, of which one wins.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_concurrent_refreshes_of_one_token_one_succeeds() {
    let lab = Lab::new();
    for _ in 0..5 {
        let token = lab.refresh_token().await;
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let service = lab.server.refresh_endpoint();
                let token = token.clone();
                tokio::spawn(
                    async move { post(service, &[("refresh_token", &*token)]).await.status },
                )
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap().as_u16() {
                200 => won += 1,
                status => assert_eq!(status, 401),
            }
        }
        assert_eq!(won, 1);
    }
}

/// attacks.md 35: the whole family ends, whichever of its tokens is presented again.
#[tokio::test]
async fn a_rotated_token_presented_again_ends_its_family() {
    let lab = Lab::new();
    for generations in 1..5 {
        let mut tokens = vec![lab.refresh_token().await];
        for _ in 0..generations {
            let last = tokens.last().unwrap();
            tokens.push(text(&granted(lab.refresh(last).await), "refresh_token"));
        }
        let other = lab.refresh_token().await;
        assert_eq!(lab.refresh(&tokens[0]).await.status, 401);
        for token in &tokens {
            assert_eq!(lab.refresh(token).await.status, 401, "{generations}");
        }
        granted(lab.refresh(&other).await);
    }
}

/// attacks.md 35: another client's presentation is refused, and the family lives.
#[tokio::test]
async fn presented_by_another_client_a_token_is_refused_and_its_family_lives() {
    let lab = Lab::new();
    let token = lab.refresh_token().await;
    let pairs = [("refresh_token", &*token)];
    let other = lab::basic("svc", "svc-secret");
    let refused = [
        post_as(lab.server.refresh_endpoint(), &other, &pairs).await,
        post(
            lab.server.refresh_endpoint(),
            &[pairs[0], ("client_id", "svc")],
        )
        .await,
        post(
            lab.server.refresh_endpoint(),
            &[
                pairs[0],
                ("client_id", "svc"),
                ("client_secret", "svc-secret"),
            ],
        )
        .await,
    ];
    for answer in &refused {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.member("error"), "invalid_grant");
    }
    // The same bytes as for a token that is unknown.
    assert_eq!(refused[1].body, lab.refresh("nope").await.body);
    // Its own client, with a wrong secret: that is about the client.
    let wrong = lab::basic("gen", "wrong");
    let answer = post_as(lab.server.refresh_endpoint(), &wrong, &pairs).await;
    assert_eq!(answer.member("error"), "invalid_client");
    // Its own client.
    let named = post(
        lab.server.refresh_endpoint(),
        &[pairs[0], ("client_id", "gen")],
    )
    .await;
    let token = text(&granted(named), "refresh_token");
    granted(
        post_as(
            lab.server.refresh_endpoint(),
            &lab.basic(),
            &[("refresh_token", &*token)],
        )
        .await,
    );
}

/// A token that was never issued does not end the family of one that it is like.
#[tokio::test]
async fn a_made_up_token_ends_no_family() {
    let lab = Lab::new();
    let token = lab.refresh_token().await;
    for at in 0..token.len() {
        let mut like = token.clone().into_bytes();
        like[at] = if like[at] == b'A' { b'B' } else { b'A' };
        let like = String::from_utf8(like).unwrap();
        assert_eq!(lab.refresh(&like).await.status, 401, "{at}");
    }
    for like in [
        &token[1..],
        &token[..token.len() - 1],
        &format!("{token}="),
        &format!("{token}A"),
    ] {
        assert_eq!(lab.refresh(like).await.status, 401);
    }
    granted(lab.refresh(&token).await);
}

#[tokio::test]
async fn a_family_ends_when_it_is_not_used_and_after_its_time_in_any_case() {
    let lab = Lab::with(|builder| {
        builder
            .refresh_token_idle_lifetime(10 * DAY)
            .refresh_token_lifetime(30 * DAY)
    });
    let second = Duration::from_secs(1);
    for (idle, status) in [(10 * DAY - second, 200), (10 * DAY, 401)] {
        let token = lab.refresh_token().await;
        lab.clock.advance(idle);
        assert_eq!(lab.refresh(&token).await.status, status);
    }
    let mut token = lab.refresh_token().await;
    for _ in 0..3 {
        lab.clock.advance(9 * DAY);
        token = text(&granted(lab.refresh(&token).await), "refresh_token");
    }
    lab.clock.advance(3 * DAY - second);
    token = text(&granted(lab.refresh(&token).await), "refresh_token");
    lab.clock.advance(second);
    assert_eq!(lab.refresh(&token).await.status, 401);
}

#[tokio::test]
async fn within_the_grace_a_retry_gets_the_same_successor() {
    let lab = Lab::with(|builder| builder.refresh_token_grace(Duration::from_secs(30)));
    let token = lab.refresh_token().await;
    let successors = [(); 3].map(|()| lab.refresh(&token));
    let mut found = Vec::new();
    for answer in successors {
        found.push(text(&granted(answer.await), "refresh_token"));
        lab.clock.advance(Duration::from_secs(10));
    }
    // 30 seconds have gone by, of which the last retry was within 20.
    found.dedup();
    assert_eq!(found.len(), 1);
    assert_ne!(found[0], token);
    assert_eq!(lab.refresh(&token).await.status, 401);
    assert_eq!(
        lab.refresh(&found[0]).await.status,
        401,
        "the family has ended"
    );

    // One that is two rotations old gets its own successor, which in turn gets the current one.
    let token = lab.refresh_token().await;
    let successor = text(&granted(lab.refresh(&token).await), "refresh_token");
    let last = text(&granted(lab.refresh(&successor).await), "refresh_token");
    for (token, expected) in [(&token, &successor), (&successor, &last)] {
        assert_eq!(
            text(&granted(lab.refresh(token).await), "refresh_token"),
            *expected
        );
    }
    granted(lab.refresh(&last).await);
}

/// RFC 6749 §6: less may be asked for, never more; and what is less does not stay so.
#[tokio::test]
async fn scope_shrinks_for_a_request_and_never_grows() {
    let lab = Lab::new();
    let of_narrow = [
        ("grant_type", "client_credentials"),
        ("client_id", "gen"),
        ("client_secret", &lab.secret),
        ("scope", "read"),
    ];
    let narrow = granted(post(lab.server.token_endpoint(), &of_narrow).await);
    assert_eq!(narrow["scope"], "read");
    let narrow = text(&narrow, "refresh_token");
    let ask = async |token: &str, scope: &str| {
        let pairs = [("refresh_token", token), ("scope", scope)];
        post(lab.server.refresh_endpoint(), &pairs).await
    };
    for scope in ["write", "read write", "admin", "\"", "read  read"] {
        let answer = ask(&narrow, scope).await;
        assert_eq!(answer.status, 400, "{scope}");
        assert_eq!(answer.member("error"), "invalid_scope", "{scope}");
    }
    // The refused requests have not used the token up.
    granted(ask(&narrow, "read").await);

    let whole = lab.refresh_token().await;
    let less = granted(ask(&whole, "write").await);
    assert_eq!(less["scope"], "write");
    assert_eq!(opened(&text(&less, "access_token")).1["scope"], "write");
    let again = granted(lab.refresh(&text(&less, "refresh_token")).await);
    assert_eq!(again["scope"], "read write");
}

#[tokio::test]
async fn what_a_client_may_no_longer_have_it_does_not_get() {
    let lab = Lab::new();
    let client = |scope: &str| {
        Client::builder("gen")
            .secret(lab::chosen())
            .scope(scope)
            .build()
    };
    let token = lab.refresh_token().await;
    lab.clients.set(client("read").unwrap());
    let tokens = granted(lab.refresh(&token).await);
    assert_eq!(tokens["scope"], "read");
    lab.clients.set(client("other").unwrap());
    let token = text(&tokens, "refresh_token");
    assert_eq!(lab.refresh(&token).await.status, 401);
    lab.clients.set(client("read write").unwrap());
    let token = text(&granted(lab.refresh(&token).await), "refresh_token");
    lab.clients.remove("gen");
    assert_eq!(lab.refresh(&token).await.status, 401);
}

#[tokio::test]
async fn families_are_listed_and_ended_for_a_client() {
    let lab = Lab::new();
    let tokens = [lab.refresh_token().await, lab.refresh_token().await];
    let families = lab.families_of("gen").await;
    assert_eq!(families.len(), 2);
    for family in &families {
        assert_eq!(family.grant().client_id(), "gen");
        assert_eq!(family.begun_at(), lab::NOW);
        assert_eq!(
            family.idle_until().as_secs(),
            lab::NOW.as_secs() + 14 * 24 * 3600
        );
        assert_eq!(
            family.ends_at().as_secs(),
            lab::NOW.as_secs() + 90 * 24 * 3600
        );
    }
    let ended = lab.refresh_tokens.end(families[0].id()).await.unwrap();
    assert_eq!(ended.as_ref(), Some(&families[0]));
    let ended = lab.refresh_tokens.end(families[0].id()).await.unwrap();
    assert_eq!(ended, None);
    assert_eq!(lab.server.end_families("gen").await.unwrap(), 1);
    assert_eq!(lab.server.end_families("gen").await.unwrap(), 0);
    for token in tokens {
        assert_eq!(lab.refresh(&token).await.status, 401);
    }
}

/// What a store of one's own writes down holds no token, and is read again as it was.
#[tokio::test]
async fn a_family_is_written_without_its_tokens_and_read_again() {
    let lab = Lab::with(|builder| builder.refresh_token_grace(MINUTE));
    let token = lab.refresh_token().await;
    let successor = text(&granted(lab.refresh(&token).await), "refresh_token");
    let family = lab.families_of("gen").await.remove(0);
    let written = serde_json::to_string(&family).unwrap();
    assert_eq!(
        serde_json::from_str::<tower_bearer::token_service::RefreshFamily>(&written).unwrap(),
        family
    );
    for token in [&token, &successor] {
        let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token).unwrap();
        // The part that makes it a secret.
        let random = base64_simd::URL_SAFE_NO_PAD.encode_to_string(&bytes[16..48]);
        assert!(!written.contains(&random));
    }
    let debug = format!("{family:?}");
    for hidden in ["mark", "current", "previous"] {
        assert!(!debug.contains(hidden), "{debug}");
        let value = &serde_json::to_value(&family).unwrap()[hidden];
        assert_ne!(*value, json!(null));
    }
}

#[tokio::test]
async fn a_full_store_drops_the_oldest_family_of_the_client_that_has_most() {
    use tower_bearer::token_service::InMemoryRefreshStore;

    let clock = tower_bearer::ManualClock::new(lab::NOW);
    let store = InMemoryRefreshStore::with_settings(clock, 3);
    let lab = Lab::with(|builder| builder.refresh_tokens(store));
    let svc = [
        ("grant_type", "client_credentials"),
        ("client_id", "svc"),
        ("client_secret", "svc-secret"),
    ];
    let of_svc = text(
        &granted(post(lab.server.token_endpoint(), &svc).await),
        "refresh_token",
    );
    let mut of_gen = Vec::new();
    for _ in 0..3 {
        of_gen.push(lab.refresh_token().await);
        lab.clock.advance(MINUTE);
    }
    let statuses = [&of_svc, &of_gen[0], &of_gen[1], &of_gen[2]];
    for (token, status) in statuses.into_iter().zip([200, 401, 200, 200]) {
        assert_eq!(lab.refresh(token).await.status, status);
    }
    // A client that has one gives way to none that has none: it is the one with most families that does.
    let lab = Lab::with(|builder| {
        let clock = tower_bearer::ManualClock::new(lab::NOW);
        builder.refresh_tokens(InMemoryRefreshStore::with_settings(clock, 3))
    });
    let mut of_gen = Vec::new();
    for _ in 0..3 {
        of_gen.push(lab.refresh_token().await);
    }
    let of_svc = text(
        &granted(post(lab.server.token_endpoint(), &svc).await),
        "refresh_token",
    );
    assert_eq!(lab.refresh(&of_svc).await.status, 200);
    let mut statuses = Vec::new();
    for token in &of_gen {
        statuses.push(lab.refresh(token).await.status);
    }
    statuses.sort();
    assert_eq!(statuses, [200, 200, 401]);
}
