//! An inner service that cannot be cloned.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::{Layer, Service};
use tower_bearer::{BearerAuthLayer, BearerToken, Claims, verify_fn};

struct Elements;

impl Service<Request<()>> for Elements {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(String::new())))
    }
}

fn main() {
    let auth = BearerAuthLayer::new(verify_fn(|_: BearerToken<'_>| Ok(Claims::new(()))));
    let mut service = auth.layer(Elements);
    let _ = service.call(Request::new(()));
}
