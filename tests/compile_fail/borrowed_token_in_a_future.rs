//! A borrowed token in `verify_async_fn`, whose future outlives the request's borrow.

use tower_bearer::{AuthError, BearerToken, Claims, verify_async_fn};

fn main() {
    let _ = verify_async_fn(|_: BearerToken<'_>| async { Ok::<_, AuthError>(Claims::new(())) });
}
