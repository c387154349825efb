//! A reverse proxy between client and server, with a pool of connections to the server.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, Uri, header::CONNECTION};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::service_fn;

use crate::{
    pooled::{Pool, pool},
    raw::Client,
    server,
};

/// Passes on a request and its response, each when it is whole, as proxies do that buffer. `Connection`
/// is for one hop (RFC 9110 §7.6.1), and the content was read to its end on the first.
async fn pass_on(
    request: Request<Incoming>,
    server: SocketAddr,
    pool: Pool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut parts, content) = request.into_parts();
    let content = content.collect().await.unwrap().to_bytes();
    parts.headers.remove(CONNECTION);
    parts.uri = Uri::try_from(format!("http://{server}{}", parts.uri.path())).unwrap();
    let content = Full::new(content).map_err(|never| match never {});
    let request = Request::from_parts(parts, content.boxed_unsync());
    let Ok(response) = pool.request(request).await else {
        return Ok(Response::builder()
            .status(502)
            .body(Full::default())
            .unwrap());
    };
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONNECTION);
    let body = body.collect().await.unwrap().to_bytes();
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// Behind a proxy that did not learn of the end of a connection, the next client gets a 502.
#[tokio::test]
async fn a_proxy_loses_no_request_after_a_rejected_one() {
    let server = server::far(server::behind_the_layer().await).await;
    let pool = pool();
    let proxy = server::serve(service_fn(move |request| {
        pass_on(request, server, pool.clone())
    }))
    .await;
    for size in [1_000, 100_000] {
        let (mut rejected, mut other) = (Client::new(proxy), Client::new(proxy));
        let mut lost = 0;
        for _ in 0..200 {
            // It may be that the proxy is still sending when the server closes: its own 502.
            let answer = rejected.post("/", "", size).await.unwrap();
            assert!(matches!(answer.status, 401 | 502), "{answer:?}");
            // Another client, whose connection to the proxy is good: what is lost, the proxy has lost.
            let good = other
                .get("/", "authorization: Bearer good\r\n")
                .await
                .unwrap();
            lost += usize::from(good.status != 200);
        }
        assert_eq!(lost, 0, "{size} bytes");
    }
}
