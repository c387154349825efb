//! A client that keeps its connection, and whose content comes after the response.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::server;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that is opened when it is needed, and kept unless the server says that it ends.
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    pub connections: usize,
}

/// The head of a response, in lower case, with its status.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    text: String,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found == name).then(|| value.trim())
        })
    }

    pub fn closes(&self) -> bool {
        self.header("connection")
            .is_some_and(|options| options.split(',').any(|option| option.trim() == "close"))
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            connections: 0,
        }
    }

    async fn stream(&mut self) -> io::Result<&mut TcpStream> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.connections += 1;
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        Ok(self.stream.insert(stream))
    }

    /// Sends bytes without waiting for anything.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream().await?.write_all(bytes.as_ref()).await
    }

    /// Reads a response, and forgets the connection if it says so.
    pub async fn receive(&mut self) -> io::Result<Head> {
        self.receive_to("GET").await
    }

    /// The same, to a request by a method.
    pub async fn receive_to(&mut self, method: &str) -> io::Result<Head> {
        let stream = self.stream().await?;
        let head = timeout(PATIENCE, read_response(stream, method)).await??;
        if head.closes() {
            self.stream = None;
        }
        Ok(head)
    }

    /// A request without content.
    pub async fn get(&mut self, path: &str, headers: &str) -> io::Result<Head> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let answer = match self.send(request).await {
            Ok(()) => self.receive().await,
            Err(error) => Err(error),
        };
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    /// A request whose content comes with it.
    pub async fn post(&mut self, path: &str, headers: &str, size: usize) -> io::Result<Head> {
        let head = post_head(path, headers, size);
        self.send([head.as_bytes(), &vec![b'x'; size]].concat())
            .await?;
        self.receive().await
    }

    /// A request whose content follows the response, unless the connection ends with it.
    pub async fn post_late(&mut self, path: &str, headers: &str, size: usize) -> io::Result<Head> {
        self.send(post_head(path, headers, size)).await?;
        let answer = self.receive().await?;
        if self.stream.is_some() {
            // It may be that nobody reads it.
            let _ = self.send(vec![b'x'; size]).await;
        }
        Ok(answer)
    }
}

fn post_head(path: &str, headers: &str, size: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {size}\r\n\r\n")
}

async fn read_response(stream: &mut TcpStream, method: &str) -> io::Result<Head> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = text[9..12].parse().unwrap();
    let head = Head { status, text };
    let length: usize = match head.header("content-length") {
        Some(length) if method != "HEAD" => length.parse().unwrap(),
        _ => 0,
    };
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    assert_eq!(bytes.len(), end + 4 + length, "more than a response came");
    Ok(head)
}

/// Sends 200 requests that are rejected, each with a good one behind it, and counts the good ones that are
/// lost.
async fn lost_after(
    address: SocketAddr,
    path: &str,
    headers: &str,
    size: usize,
    status: u16,
) -> usize {
    let mut client = Client::new(address);
    let mut lost = 0;
    for _ in 0..200 {
        let rejected = client.post_late(path, headers, size).await.unwrap();
        assert_eq!(rejected.status, status, "{path}");
        match client.get("/good", "authorization: Bearer good\r\n").await {
            Ok(good) => assert_eq!(good.status, 200, "{path}"),
            Err(_) => lost += 1,
        }
    }
    lost
}

#[tokio::test]
async fn no_request_is_lost_after_a_rejection_of_the_layer() {
    for address in [
        server::behind_the_layer().await,
        server::behind_a_slow_verifier().await,
    ] {
        for size in [1_000, 100_000] {
            for headers in [
                "",
                "authorization: Bearer bad\r\n",
                "expect: 100-continue\r\n",
            ] {
                let lost = lost_after(address, "/", headers, size, 401).await;
                assert_eq!(lost, 0, "{size} bytes, {headers:?}");
            }
        }
    }
}

/// Everything that this crate answers further in: `require`, the extractor, and stacks that are wrong.
#[cfg(feature = "axum")]
#[tokio::test]
async fn no_request_is_lost_after_a_rejection_further_in() {
    let address = server::serve_router(server::router()).await;
    let reader = "authorization: Bearer reader\r\n";
    for (path, headers, status) in [
        ("/layer", "", 401),
        ("/require", reader, 403),
        ("/extract", "", 401),
        ("/unlayered", "", 500),
        ("/unlayered-require", "", 500),
    ] {
        for size in [1_000, 100_000] {
            let lost = lost_after(address, path, headers, size, status).await;
            assert_eq!(lost, 0, "{path}, {size} bytes");
        }
    }
}

/// Without content nothing stands in the way, and the connection is kept.
#[tokio::test]
async fn a_connection_is_kept_after_a_rejection_without_content() {
    let address = server::behind_the_layer().await;
    let mut client = Client::new(address);
    for headers in [
        "",
        "content-length: 0\r\n",
        "connection: upgrade\r\nupgrade: chat\r\n",
    ] {
        for _ in 0..20 {
            assert_eq!(client.get("/", headers).await.unwrap().status, 401);
            let good = format!("{headers}authorization: Bearer good\r\n");
            assert_eq!(client.get("/", &good).await.unwrap().status, 200);
        }
    }
    assert_eq!(client.connections, 1);
}

/// A server over HTTP/1.0 closes anyway, unless it is asked not to.
#[tokio::test]
async fn no_request_is_lost_over_http_1_0() {
    let mut client = Client::new(server::behind_the_layer().await);
    for _ in 0..50 {
        let head = "POST / HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 1000\r\n\r\n";
        client.send(head).await.unwrap();
        let rejected = client.receive().await.unwrap();
        assert_eq!((rejected.status, rejected.closes()), (401, true));
        let good = client.get("/", "authorization: Bearer good\r\n").await;
        assert_eq!(good.unwrap().status, 200);
    }
}
