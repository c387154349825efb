//! A client with a pool of connections, as applications have it.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::oneshot;

use crate::server;

pub type AnyBody = UnsyncBoxBody<Bytes, hyper::Error>;
pub type Pool = Client<HttpConnector, AnyBody>;

/// A pool that does not repeat a request that was lost, for a POST must not be repeated.
pub fn pool() -> Pool {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(60))
        .retry_canceled_requests(false)
        .build_http()
}

pub fn empty() -> AnyBody {
    http_body_util::Empty::new()
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Content that comes once the sender says so.
fn late(size: usize) -> (oneshot::Sender<()>, AnyBody) {
    let (sender, receiver) = oneshot::channel::<()>();
    let frame = async move {
        let _ = receiver.await;
        Ok(Frame::data(Bytes::from(vec![b'x'; size])))
    };
    let body = StreamBody::new(stream::once(frame));
    (sender, body.boxed_unsync())
}

/// Sends 200 good requests, each after a rejected one, and counts those that are lost.
pub async fn lost_after(address: SocketAddr, size: usize) -> usize {
    let pool = pool();
    let mut lost = 0;
    for _ in 0..200 {
        let (send, body) = late(size);
        let rejected = Request::post(format!("http://{address}/"))
            .header("content-length", size)
            .body(body)
            .unwrap();
        let rejected = pool.request(rejected).await.unwrap();
        assert_eq!(
            (rejected.status().as_u16(), rejected.version()),
            (401, Version::HTTP_11)
        );
        let _ = send.send(());
        rejected.into_body().collect().await.unwrap();

        let good = Request::get(format!("http://{address}/"))
            .header("authorization", "Bearer good")
            .body(empty())
            .unwrap();
        match pool.request(good).await {
            Ok(response) => assert_eq!(response.status(), 200),
            Err(_) => lost += 1,
        }
    }
    lost
}

#[tokio::test]
async fn a_pool_loses_no_request_after_a_rejected_one() {
    let address = server::far(server::behind_the_layer().await).await;
    for size in [1_000, 100_000] {
        assert_eq!(lost_after(address, size).await, 0, "{size} bytes");
    }
}
