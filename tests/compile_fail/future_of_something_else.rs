//! A future that gives the user's part of the claims, and not `Claims` of it.

use tower_bearer::{AuthError, OwnedToken, verify_async_fn};

struct User;

fn main() {
    let _ = verify_async_fn(|_: OwnedToken| async { Ok::<User, AuthError>(User) });
}
