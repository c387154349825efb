//! A closure whose argument has no type, and that does not stand in the call of `verify_fn` itself.

use tower_bearer::{AuthError, Claims, verify_fn};

fn main() {
    let verify = |token| match token.as_str() {
        "letmein" => Ok(Claims::new(())),
        _ => Err(AuthError::invalid_token("unknown")),
    };
    let _ = verify_fn(verify);
}
