//! A closure in `reject`, which is for types: `reject_fn` is for closures.

use bytes::Bytes;
use http::{Response, request::Parts};
use tower_bearer::{AuthError, BearerAuthLayer, BearerToken, Claims, verify_fn};

fn main() {
    let auth = BearerAuthLayer::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(()))));
    let _ = auth.reject(|_: &AuthError, _: &Parts| Response::new(Bytes::new()));
}
