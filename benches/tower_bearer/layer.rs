//! The layer itself: a token let in, and every cheap refusal, over the bare inner service.

use criterion::Criterion;
use http::{HeaderValue, Request, StatusCode};
use tower::{Layer, service_fn};
use tower_bearer::{Algorithm, BearerAuthLayer, BearerToken, Claims, JwtVerifier, verify_fn};

use crate::{TOKEN_LENGTH, bearer, group, inner, measure, request};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

pub(super) fn bench(criterion: &mut Criterion) {
    // Lets all in, and costs nothing itself: what is left is the layer.
    let claims = Claims::builder().subject("alice").build(());
    let no_op = BearerAuthLayer::new(verify_fn(move |_: BearerToken<'_>| Ok(claims.clone())));
    // Garbage is for the verifier to see through.
    let issuer = crate::jwt::issuer(Algorithm::ES256);
    let jwt = BearerAuthLayer::new(
        JwtVerifier::<()>::builder()
            .any_issuer()
            .any_audience()
            .key(issuer.key().unwrap())
            .build()
            .unwrap(),
    );

    let opaque = "0123456789abcdef".repeat(TOKEN_LENGTH / 16);
    // Three segments of base64url, the first of which is no header.
    let segment = "Zm9vYmFy".repeat(TOKEN_LENGTH / 3 / 8);
    let three_segments = [segment.as_str(); 3].join(".");
    // Refused by its form, at its last byte.
    let not_a_token = format!("{}!", &opaque[1..]);

    let mut group = group(criterion, "layer");
    measure(
        &mut group,
        "inner",
        service_fn(inner),
        &bearer(&opaque),
        StatusCode::OK,
    );
    measure(
        &mut group,
        "no_op_verifier",
        no_op.layer(service_fn(inner)),
        &bearer(&opaque),
        StatusCode::OK,
    );
    for (name, request) in [
        ("missing", request(None)),
        ("garbage_short", bearer("x.y.z")),
        ("garbage", bearer(&three_segments)),
        ("garbage_opaque", bearer(&opaque)),
        ("garbage_form", bearer(&not_a_token)),
    ] {
        for (trace, request) in [
            ("fresh_trace_id", request.clone()),
            ("traceparent", traced(request)),
        ] {
            measure(
                &mut group,
                &format!("{name}/{trace}"),
                jwt.layer(service_fn(inner)),
                &request,
                StatusCode::UNAUTHORIZED,
            );
        }
    }
    group.finish();
}

/// The same request as part of a trace, whose id the refusal repeats.
fn traced(mut request: Request<()>) -> Request<()> {
    request
        .headers_mut()
        .insert("traceparent", HeaderValue::from_static(TRACEPARENT));
    request
}
