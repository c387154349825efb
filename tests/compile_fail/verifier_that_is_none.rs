//! A type that does not implement `Verifier`.

use tower_bearer::BearerAuthLayer;

struct Tokens;

fn main() {
    let _ = BearerAuthLayer::new(Tokens);
}
