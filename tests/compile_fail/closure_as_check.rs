//! A closure in `check`, which is for types: `check_fn` is for closures.

use tower_bearer::{AuthError, BearerAuthLayer, BearerToken, CheckContext, Claims, verify_fn};

fn main() {
    let auth = BearerAuthLayer::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(()))));
    let _ = auth.check(|_: &CheckContext<'_, ()>| Ok::<(), AuthError>(()));
}
