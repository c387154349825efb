//! The `Result` of `realm`, used as if it were the layer.

use tower::ServiceBuilder;
use tower_bearer::{BearerAuthLayer, BearerToken, Claims, verify_fn};

fn main() {
    let auth = BearerAuthLayer::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(()))));
    let _ = auth.realm("elements").optional();

    let auth = BearerAuthLayer::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(()))));
    let _ = ServiceBuilder::new()
        .layer(auth.realm("elements"))
        .service(());
}
