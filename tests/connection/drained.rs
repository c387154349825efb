//! The recipe in the docs of the layer, for stacks that would rather read than close.

use std::time::Duration;

use axum::{
    body::{HttpBody, to_bytes},
    extract::Request,
    http::{StatusCode, header::CONNECTION},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use tokio::time::timeout;
use tower_bearer::AuthError;

use crate::{raw::Client, server};

const LIMIT: usize = 64 * 1024;

async fn read_small_content(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream()
        || body
            .size_hint()
            .upper()
            .is_none_or(|size| size > LIMIT as u64)
    {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let content = match timeout(Duration::from_secs(10), to_bytes(body, LIMIT)).await {
        Ok(Ok(content)) => content,
        _ => return (StatusCode::REQUEST_TIMEOUT, [(CONNECTION, "close")]).into_response(),
    };
    let mut response = next.run(Request::from_parts(parts, content.into())).await;
    if response.extensions().get::<AuthError>().is_some() {
        response.headers_mut().remove(CONNECTION);
    }
    response
}

#[tokio::test]
async fn small_content_that_is_read_outside_of_the_layer_keeps_the_connection() {
    let app = server::router().layer(from_fn(read_small_content));
    let mut client = Client::new(server::serve_router(app).await);
    for (path, headers, status) in [
        ("/layer", "", 401),
        ("/require", "authorization: Bearer reader\r\n", 403),
        ("/extract", "", 401),
    ] {
        for _ in 0..50 {
            let rejected = client.post(path, headers, 60_000).await.unwrap();
            assert_eq!(
                (rejected.status, rejected.closes()),
                (status, false),
                "{path}"
            );
            let good = client
                .post("/good", "authorization: Bearer good\r\n", 60_000)
                .await;
            assert_eq!(good.unwrap().status, 200);
        }
    }
    assert_eq!(client.connections, 1);

    // What is larger, the layer sees first.
    for _ in 0..20 {
        let rejected = client.post_late("/layer", "", 100_000).await.unwrap();
        assert_eq!((rejected.status, rejected.closes()), (401, true));
        let good = client.get("/good", "authorization: Bearer good\r\n").await;
        assert_eq!(good.unwrap().status, 200);
    }
}
