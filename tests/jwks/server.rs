//! A key server on the loopback that does what a test says, and counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower_bearer::{RemoteKeySet, RemoteKeySetBuilder};

/// Long enough for a machine that is busy with other tests.
const AMPLE: Duration = Duration::from_secs(30);

/// What a server does with a request.
#[derive(Clone)]
pub(crate) enum Does {
    /// Sends these bytes, and closes the connection.
    Sends(Vec<u8>),
    /// Sends these bytes, then says nothing more and waits for the other side to close.
    Hangs(Vec<u8>),
    /// The same, but goes on with a byte of these at a time, all too slowly.
    Trickles(Vec<u8>),
    /// Sends the first, then the second so many times.
    Repeats(Vec<u8>, Vec<u8>, u64),
}

impl Does {
    /// 200 with this body.
    pub(crate) fn answers(body: &str) -> Self {
        Self::says("200 OK", &[], body)
    }

    pub(crate) fn says(status: &str, headers: &[&str], body: &str) -> Self {
        let length = format!("content-length: {}", body.len());
        let headers = [headers, &[&length]].concat();
        let mut bytes = head(status, &headers);
        bytes.extend_from_slice(body.as_bytes());
        Self::Sends(bytes)
    }
}

/// The head of an answer after which the connection is closed.
pub(crate) fn head(status: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Ends with the last of its clones.
#[derive(Clone)]
pub(crate) struct Server(Arc<Running>);

struct Running {
    state: Arc<State>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    // What it does, by path; the empty path stands for the others.
    does: Mutex<Vec<(String, Does)>>,
    requests: Mutex<Vec<String>>,
    sent: AtomicU64,
    connections: watch::Sender<Connections>,
}

/// How many there were, and how many of them have come to an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connections {
    pub(crate) begun: u64,
    pub(crate) asked: u64,
    pub(crate) ended: u64,
}

impl Server {
    pub(crate) async fn new(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self::on(listener);
        server.now(does);
        server
    }

    /// One that is back at an address that was another's.
    pub(crate) async fn at(address: SocketAddr, does: Does) -> Self {
        let server = Self::on(TcpListener::bind(address).await.unwrap());
        server.now(does);
        server
    }

    fn on(listener: TcpListener) -> Self {
        let state = Arc::<State>::default();
        let address = listener.local_addr().unwrap();
        let of_task = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                of_task.count(|connections| connections.begun += 1);
                let state = Arc::clone(&of_task);
                tokio::spawn(async move {
                    // How it ends is the client's affair.
                    let _ = state.serve(stream).await;
                    state.count(|connections| connections.ended += 1);
                });
            }
        });
        Self(Arc::new(Running {
            state,
            address,
            task,
        }))
    }

    /// From now on it does this, whatever the path.
    pub(crate) fn now(&self, does: Does) {
        self.at_path("", does);
    }

    /// From now on it does this for that path.
    pub(crate) fn at_path(&self, path: &str, does: Does) {
        let mut all = self.0.state.does.lock().unwrap();
        all.retain(|(of, _)| of != path);
        all.push((path.to_owned(), does));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address)
    }

    /// The keys that are here, fetched by the client of the crate.
    pub(crate) fn keys(&self) -> RemoteKeySetBuilder {
        let keys = RemoteKeySet::jwks_url(self.url("/jwks"));
        // Whoever runs the tests may have one.
        keys.no_proxy().timeout(AMPLE)
    }

    /// The heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.state.requests.lock().unwrap().clone()
    }

    /// The paths of them.
    pub(crate) fn paths(&self) -> Vec<String> {
        let requests = self.requests();
        let path = |head: &String| head.split(' ').nth(1).unwrap().to_owned();
        requests.iter().map(path).collect()
    }

    /// How many bytes it has sent, of which some may not have arrived.
    pub(crate) fn sent(&self) -> u64 {
        self.0.state.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> Connections {
        *self.0.state.connections.borrow()
    }

    /// Waits until it is so with the connections.
    pub(crate) async fn until(&self, is_so: impl FnMut(&Connections) -> bool) {
        let mut connections = self.0.state.connections.subscribe();
        let waited = timeout(AMPLE, connections.wait_for(is_so)).await;
        waited.expect("it comes to that").unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn count(&self, f: impl FnOnce(&mut Connections)) {
        self.connections.send_modify(f);
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        self.requests.lock().unwrap().push(head);
        self.count(|connections| connections.asked += 1);
        let does = {
            let all = self.does.lock().unwrap();
            let of = |path: &str| all.iter().find(|(of, _)| of == path).cloned();
            of(&path).or_else(|| of("")).expect("something to do").1
        };
        match does {
            Does::Sends(bytes) => self.send(&mut stream, &bytes).await?,
            Does::Hangs(bytes) => {
                self.send(&mut stream, &bytes).await?;
                // Reads nothing, until the other side has closed.
                stream.read_u8().await?;
            }
            Does::Trickles(bytes) => {
                for byte in bytes {
                    self.send(&mut stream, &[byte]).await?;
                    sleep(Duration::from_millis(20)).await;
                }
            }
            Does::Repeats(first, more, times) => {
                self.send(&mut stream, &first).await?;
                for _ in 0..times {
                    self.send(&mut stream, &more).await?;
                }
            }
        }
        Ok(())
    }

    async fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        stream.write_all(bytes).await?;
        self.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}
