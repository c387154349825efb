//! A token in the subprotocols of a WebSocket, on a real socket: the 101 chooses one of them.

#![cfg(feature = "axum")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response};
use support::{Inner, Text, any_token, request, send_to};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, client::IntoClientRequest},
};
use tower_bearer::{BearerAuthLayer, Claims, TokenSource};

/// A WebSocket that says who it is for, behind the layer, on a port of its own.
async fn serve(chosen: &'static [&'static str]) -> Server {
    let handler = move |socket: WebSocketUpgrade, claims: Claims| async move {
        let subject = claims.registered().subject().unwrap().to_owned();
        socket
            .protocols(chosen.iter().copied())
            .on_upgrade(|mut socket| async move {
                let _ = socket.send(Message::text(subject)).await;
                let _ = socket.close().await;
            })
    };
    let layer = BearerAuthLayer::new(any_token()).token_source(TokenSource::web_socket_protocol());
    let app = Router::new().route("/ws", any(handler)).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server { address, task }
}

/// A server that ends with its test.
struct Server {
    address: std::net::SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn upgrade(address: std::net::SocketAddr, protocols: Option<&str>) -> Request<()> {
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    if let Some(protocols) = protocols {
        let value = protocols.parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    }
    request
}

#[tokio::test]
async fn the_101_chooses_a_subprotocol() {
    for (served, offered, chosen) in [
        // Without a choice a browser drops the connection: `bearer` is one, and the token never.
        (&[][..], "bearer, abc", "bearer"),
        (&[], "chat, bearer, abc", "bearer"),
        (&["chat"], "bearer, abc", "bearer"),
        // What the service has chosen stays.
        (&["chat"], "chat, bearer, abc", "chat"),
        (&["chat"], "bearer, abc, chat", "chat"),
    ] {
        let server = serve(served).await;
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut socket, response) = client_async(upgrade(server.address, Some(offered)), stream)
            .await
            .unwrap();
        assert_eq!(response.status(), 101);
        let protocols = support::all(response.headers(), "sec-websocket-protocol");
        assert_eq!(protocols, [chosen], "{offered}");
        for value in response.headers().values() {
            assert!(!value.to_str().unwrap().contains("abc"), "{offered}");
        }
        let message = socket.next().await.unwrap().unwrap();
        assert_eq!(message.into_text().unwrap().as_str(), "abc", "{offered}");
        let _ = socket.close(None).await;
    }
}

#[tokio::test]
async fn an_upgrade_without_a_token_is_refused() {
    let server = serve(&["chat"]).await;
    for offered in [None, Some("chat"), Some("chat, bearer")] {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let refused = client_async(upgrade(server.address, offered), stream).await;
        let Err(tungstenite::Error::Http(response)) = refused else {
            panic!("{offered:?} was let in");
        };
        assert_eq!(response.status(), 401, "{offered:?}");
        assert!(response.headers().contains_key("www-authenticate"));
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
    }
}

/// A 101 alone opens a WebSocket, or a 200 to an extended CONNECT (RFC 8441 §4).
#[tokio::test]
async fn other_answers_choose_none() {
    let layer = BearerAuthLayer::new(any_token()).token_source(TokenSource::web_socket_protocol());
    let protocol = [("sec-websocket-protocol", "bearer, abc")];
    let header = [
        ("authorization", "Bearer abc"),
        ("sec-websocket-protocol", "chat"),
    ];
    for (method, headers, status, chosen) in [
        ("GET", &protocol[..], 101, Some("bearer")),
        ("GET", &protocol, 200, None),
        ("GET", &protocol, 400, None),
        ("CONNECT", &protocol, 200, Some("bearer")),
        ("CONNECT", &protocol, 201, Some("bearer")),
        ("CONNECT", &protocol, 400, None),
        // The token was not among the subprotocols, so nothing is chosen for the service.
        ("GET", &header, 101, None),
    ] {
        let inner = Inner::answering(move |_| {
            Response::builder()
                .status(status)
                .body(Text::default())
                .unwrap()
        });
        let mut request = request(headers);
        *request.method_mut() = method.parse().unwrap();
        let (answer, _) = send_to(inner, &layer, request).await;
        assert_eq!(
            answer.header("sec-websocket-protocol"),
            chosen,
            "{method} {status}"
        );
    }
}
