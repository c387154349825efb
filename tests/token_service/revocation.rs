//! The revocation endpoint (RFC 7009), and the check for what was revoked.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower_bearer::{
    AuthErrorKind, BearerAuthLayer, JwtVerifier, KeySet, NumericDate, ProblemJson, Revocation,
    RevocationList, reason,
};

use crate::{
    lab::{self, AUDIENCE, DAY, ISSUER, Lab, MINUTE, granted, post, post_as, text},
    support::{self, Answer, BASE},
};

/// The answer of a service behind the layer to a token.
pub(crate) async fn present(lab: &Lab, token: &str) -> Answer {
    let verifier = JwtVerifier::<()>::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .key_set(KeySet::from_json(&lab.keys.public_key_set()).unwrap())
        .access_token_profile()
        .clock(lab.clock.clone())
        .build()
        .unwrap();
    let layer = BearerAuthLayer::new(verifier)
        .reject(ProblemJson::new().type_base(BASE).unwrap())
        .check(RevocationList::new(lab.revocation.clone()));
    let request: Request<Full<Bytes>> =
        support::request(&[("authorization", &format!("Bearer {token}"))]);
    support::send(&layer, request).await.0
}

#[track_caller]
fn assert_revoked(answer: &Answer) {
    assert_eq!(answer.status, 401);
    assert_eq!(answer.member("type"), format!("{BASE}token-revoked"));
    assert_eq!(answer.member("title"), "Unauthorized");
    assert_eq!(
        answer.member("detail"),
        "Authentication token has been revoked"
    );
    assert_eq!(
        answer.error.as_ref().unwrap().kind(),
        AuthErrorKind::RevokedToken
    );
}

#[tokio::test]
async fn a_client_revokes_its_access_token_and_no_other() {
    let lab = Lab::new();
    let [token, other] =
        [lab.tokens().await, lab.tokens().await].map(|tokens| text(&tokens, "access_token"));
    assert_eq!(present(&lab, &token).await.status, 200);
    for pairs in [
        &[("token", &*token)][..],
        &[("token", &token), ("token_type_hint", "refresh_token")],
    ] {
        let answer = post_as(lab.server.revocation_endpoint(), &lab.basic(), pairs).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, "");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_revoked(&present(&lab, &token).await);
    }
    assert_eq!(present(&lab, &other).await.status, 200);
}

#[tokio::test]
async fn a_client_ends_the_family_of_its_refresh_token() {
    let lab = Lab::new();
    let first = lab.refresh_token().await;
    let second = text(&granted(lab.refresh(&first).await), "refresh_token");
    // Whichever of the family it sends.
    let answer = post_as(
        lab.server.revocation_endpoint(),
        &lab.basic(),
        &[("token", &first)],
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(lab.refresh(&second).await.status, 401);
}

/// RFC 7009 §2.2: 200 for what is unknown or no longer good. §2.1: an error for what is another's.
#[tokio::test]
async fn unknown_tokens_are_200_and_those_of_others_are_refused() {
    let lab = Lab::new();
    let tokens = lab.tokens().await;
    let expired = text(&lab.tokens().await, "access_token");
    // Of another issuer of the same name, by a key of its own.
    let forged = text(&Lab::new().tokens().await, "access_token");
    for unknown in ["nope", "a.b.c", &forged, "\u{fc}"] {
        let answer = post_as(
            lab.server.revocation_endpoint(),
            &lab.basic(),
            &[("token", unknown)],
        )
        .await;
        assert_eq!(answer.status, 200, "{unknown}");
    }
    let other = lab::basic("svc", "svc-secret");
    for name in ["access_token", "refresh_token"] {
        let token = text(&tokens, name);
        let answer = post_as(
            lab.server.revocation_endpoint(),
            &other,
            &[("token", &token)],
        )
        .await;
        assert_eq!(answer.status, 400, "{name}");
        assert_eq!(answer.member("error"), "unauthorized_client");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert_eq!(
        present(&lab, &text(&tokens, "access_token")).await.status,
        200
    );
    granted(lab.refresh(&text(&tokens, "refresh_token")).await);
    lab.clock.advance(DAY);
    let answer = post_as(
        lab.server.revocation_endpoint(),
        &lab.basic(),
        &[("token", &expired)],
    )
    .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_client_must_authenticate_and_name_a_token() {
    let lab = Lab::new();
    let answer = post(lab.server.revocation_endpoint(), &[("token", "nope")]).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.member("error"), "invalid_client");
    assert_eq!(answer.challenge(), r#"Bearer realm="api""#);
    let answer = post_as(lab.server.revocation_endpoint(), &lab.basic(), &[]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.member("error"), "invalid_request");
}

/// By client or subject: all that were issued up to then, that second included, and none that come after it.
#[tokio::test]
async fn a_cut_off_ends_what_was_issued_before_it() {
    for by_subject in [false, true] {
        let lab = Lab::new();
        let before = text(&lab.tokens().await, "access_token");
        lab.clock.advance(MINUTE);
        let at = text(&lab.tokens().await, "access_token");
        let now = NumericDate::from_secs(lab::NOW.as_secs() + 60);
        if by_subject {
            lab.revocation.revoke_subject("gen", now).await.unwrap();
            lab.revocation.revoke_subject("other", now).await.unwrap();
        } else {
            lab.revocation.revoke_client("gen", now).await.unwrap();
        }
        lab.clock.advance(std::time::Duration::from_secs(1));
        let after = text(&lab.tokens().await, "access_token");
        assert_revoked(&present(&lab, &before).await);
        assert_revoked(&present(&lab, &at).await);
        assert_eq!(present(&lab, &after).await.status, 200);
        // An earlier one takes nothing back.
        lab.revocation.revoke_client("gen", lab::NOW).await.unwrap();
        assert_eq!(present(&lab, &after).await.status, 200);
    }
}

/// A revocation is kept until the token has expired, and no longer.
#[tokio::test]
async fn revocations_are_forgotten_when_no_token_can_be_meant() {
    let lab = Lab::new();
    let count = || format!("{:?}", lab.revocation);
    for n in 0..100 {
        let end = lab.clock_now().as_secs() + 900;
        lab.revocation
            .revoke_token(&format!("{n}"), NumericDate::from_secs(end))
            .await
            .unwrap();
    }
    assert_eq!(count(), "InMemoryRevocation(100 revocations)");
    lab.clock.advance(20 * MINUTE);
    lab.revocation
        .revoke_client("svc", lab.clock_now())
        .await
        .unwrap();
    assert_eq!(
        count(),
        "InMemoryRevocation(101 revocations)",
        "5 minutes of leeway"
    );
    lab.clock.advance(std::time::Duration::from_secs(1));
    lab.revocation
        .revoke_client("svc", lab.clock_now())
        .await
        .unwrap();
    assert_eq!(count(), "InMemoryRevocation(1 revocations)");
}

#[tokio::test]
async fn without_a_list_access_tokens_cannot_be_revoked_and_refresh_tokens_can() {
    let lab = Lab::new();
    let without = tower_bearer::token_service::AuthorizationServer::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .signing_keys(lab.keys.clone())
        .clients(lab.clients.clone())
        .refresh_tokens(lab.refresh_tokens.clone())
        .unlimited_failures()
        .clock(lab.clock.clone())
        .build()
        .unwrap();
    let tokens = lab.tokens().await;
    let access = text(&tokens, "access_token");
    let answer = post_as(
        without.revocation_endpoint(),
        &lab.basic(),
        &[("token", &access)],
    )
    .await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.member("error"), "unsupported_token_type");
    let refresh = text(&tokens, "refresh_token");
    let answer = post_as(
        without.revocation_endpoint(),
        &lab.basic(),
        &[("token", &refresh)],
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(lab.refresh(&refresh).await.status, 401);
}

/// A list that cannot be asked is an outage, never a pass, and never a 401.
#[tokio::test]
async fn a_list_that_cannot_be_asked_is_503() {
    use tower_bearer::{BoxFuture, RegisteredClaims, Revoked, StoreError};

    struct Down(bool);

    impl Revocation for Down {
        fn is_revoked(&self, _: &RegisteredClaims) -> Revoked {
            if self.0 {
                Revoked::Ready(Err(StoreError::new("down")))
            } else {
                Revoked::Pending(Box::pin(async { Err(StoreError::new("down")) }))
            }
        }
        fn revoke_token(&self, _: &str, _: NumericDate) -> BoxFuture<Result<(), StoreError>> {
            Box::pin(async { Err(StoreError::new("down")) })
        }
        fn revoke_client(&self, _: &str, _: NumericDate) -> BoxFuture<Result<(), StoreError>> {
            Box::pin(async { Err(StoreError::new("down")) })
        }
        fn revoke_subject(&self, _: &str, _: NumericDate) -> BoxFuture<Result<(), StoreError>> {
            Box::pin(async { Err(StoreError::new("down")) })
        }
    }

    for at_once in [true, false] {
        let layer =
            BearerAuthLayer::new(support::good_token()).check(RevocationList::new(Down(at_once)));
        let request = support::request(&[("authorization", "Bearer good")]);
        let (answer, seen) = support::send(&layer, request).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(answer.reason(), reason::REVOCATIONS_UNAVAILABLE);
        assert!(seen.is_none());
        // Of an issuer that is not asked about.
        let layer = BearerAuthLayer::new(support::good_token())
            .check(RevocationList::new(Down(at_once)).of_issuer("https://other.example"));
        let request = support::request(&[("authorization", "Bearer good")]);
        assert_eq!(support::send(&layer, request).await.0.status, 200);
    }
    let lab = Lab::with(|builder| builder.revocation(Down(true)));
    let token = text(&lab.tokens().await, "access_token");
    let answer = post_as(
        lab.server.revocation_endpoint(),
        &lab.basic(),
        &[("token", &token)],
    )
    .await;
    assert_eq!(answer.status, 503);
}
