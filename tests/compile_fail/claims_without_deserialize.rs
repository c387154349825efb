//! Claims that serde cannot read from a token.

use tower_bearer::{BearerAuthLayer, JwtVerifier, Key};

struct Profile;

fn main() {
    let verifier = JwtVerifier::<Profile>::builder()
        .any_issuer()
        .any_audience()
        .key(Key::from_jwk("{}").unwrap())
        .build()
        .unwrap();
    let _ = BearerAuthLayer::new(verifier);
}
