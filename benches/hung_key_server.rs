//! What a key server that hangs costs the requests whose key is known: nothing, and at most 1 ms for the
//! slowest of them.
//!
//! `cargo bench --features full --bench hung_key_server`. Rounds with a key server that answers and with one
//! that hangs take turns. In each, one thread sends requests with a known key through the layer and times
//! every one. On another, a thousand with an unknown key wait for the fetch; if it hangs, they fail together
//! in the middle of the round. Where the system tells (Linux), what a thread had to wait for its turn is taken
//! off: others on the machine are not to be in the slowest request.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::{
    convert::Infallible,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::Empty;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_bearer::{Algorithm, BearerAuthLayer, JwtVerifier, RemoteKeySet, testing::Issuer};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
const WAITING: usize = 1000;

fn main() {
    // As `cargo bench` has it for all benches: one by its name; `--test`: does it run?
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut names = arguments.iter().filter(|one| !one.starts_with('-'));
    if names.any(|name| !env!("CARGO_CRATE_NAME").contains(name.as_str())) {
        return;
    }
    let test = arguments.iter().any(|argument| argument == "--test");
    let (rounds, length) = if test {
        (1, Duration::from_secs(2))
    } else {
        (10, Duration::from_secs(3))
    };
    println!("key server     requests     median    99.9 %   slowest   (µs)");
    let mut slowest = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for hangs in [false, true] {
            let mut times = round(hangs, length);
            times.sort_unstable();
            let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
            let name = if hangs { "hangs" } else { "answers" };
            println!(
                "{name:<12} {:>10} {:>10.1} {:>9.1} {:>9.1}",
                times.len(),
                micros(at(0.5)),
                micros(at(0.999)),
                micros(at(1.0))
            );
            slowest[usize::from(hangs)].push(at(1.0));
        }
    }
    let [answers, hangs] = slowest.map(|mut times| {
        times.sort_unstable();
        micros(times[times.len() / 2])
    });
    println!(
        "slowest request, median of {rounds} rounds: {answers:.1} µs if it answers, {hangs:.1} µs if it \
         hangs: {:+.1} µs",
        hangs - answers
    );
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The time of each request with a known key.
fn round(hangs: bool, length: Duration) -> Vec<Duration> {
    let issuer = Issuer::new(ISSUER, Algorithm::ES256).unwrap();
    let server = KeyServer::new(issuer.public_key_set());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();

    let keys = RemoteKeySet::jwks_url(server.url.clone());
    let keys = keys.cooldown(Duration::ZERO).timeout(length / 2);
    let keys = keys.build().unwrap();
    while runtime.block_on(keys.ready()).is_err() {}
    let verifier = JwtVerifier::<()>::builder();
    let verifier = verifier.issuer(ISSUER).audience(AUDIENCE);
    let layer = BearerAuthLayer::new(verifier.remote_keys(keys).build().unwrap());
    let service = layer.layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));

    server.hangs.store(hangs, Ordering::SeqCst);
    let unknown = token(&Issuer::new(ISSUER, Algorithm::ES256).unwrap());
    let strangers: Vec<_> = (0..WAITING)
        .map(|_| runtime.spawn(service.clone().oneshot(request(&unknown))))
        .collect();

    let known = token(&issuer);
    let mut service = service;
    let mut queue = Queue::new();
    let mut times = Vec::with_capacity(1 << 20);
    let end = Instant::now() + length;
    loop {
        let request = request(&known);
        let queued = queue.time();
        let begun = Instant::now();
        let ready = service.ready().now_or_never();
        let response = ready.unwrap().unwrap().call(request).now_or_never();
        let now = Instant::now();
        let response = response.expect("it does not wait").unwrap();
        assert_eq!(response.status(), 200);
        times.push((now - begun).saturating_sub(queue.time() - queued));
        if now > end {
            break;
        }
    }

    let expected = if hangs { 503 } else { 401 };
    for stranger in strangers {
        let response = runtime.block_on(stranger).unwrap().unwrap();
        assert_eq!(response.status(), expected);
    }
    times
}

fn request(token: &str) -> Request<()> {
    let request = Request::get("/elements").header(AUTHORIZATION, format!("Bearer {token}"));
    request.body(()).unwrap()
}

fn token(issuer: &Issuer) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims: Value = json!({ "aud": AUDIENCE, "sub": "alice", "exp": now + 3600 });
    issuer.token(&claims).unwrap()
}

/// For how long this thread has waited until a processor was free for it.
struct Queue(Option<File>);

impl Queue {
    fn new() -> Self {
        Self(File::open("/proc/thread-self/schedstat").ok())
    }

    fn time(&mut self) -> Duration {
        let Some(file) = &mut self.0 else {
            return Duration::ZERO;
        };
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        Duration::from_nanos(text.split(' ').nth(1).unwrap().parse().unwrap())
    }
}

/// A key server on threads of its own, which answers, or says nothing.
struct KeyServer {
    url: String,
    hangs: Arc<AtomicBool>,
}

impl KeyServer {
    fn new(keys: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let hangs = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&hangs);
        // It ends with the process.
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if of_thread.load(Ordering::SeqCst) {
                    silent.push(stream);
                } else {
                    answer(stream, &keys);
                }
            }
        });
        Self { url, hangs }
    }
}

fn answer(mut stream: TcpStream, keys: &str) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .for_each(drop);
    let length = keys.len();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream
        .write_all(format!("{head}{keys}").as_bytes())
        .unwrap();
}
