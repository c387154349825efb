//! A closure that is not wrapped by `verify_fn`.

use tower_bearer::{BearerAuthLayer, BearerToken, Claims};

fn main() {
    let _ = BearerAuthLayer::new(|_: BearerToken<'_>| Ok(Claims::new(())));
}
