//! A check for other claims than those that the verifier gives.

use tower_bearer::{BearerAuthLayer, BearerToken, Check, CheckContext, Checked, Claims, verify_fn};

struct User;
struct Session;
struct IsFresh;

impl Check<Session> for IsFresh {
    fn check(&self, _: &CheckContext<'_, Session>) -> Checked {
        Ok(()).into()
    }
}

fn main() {
    let auth = BearerAuthLayer::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(User))));
    let _ = auth.check(IsFresh);
}
