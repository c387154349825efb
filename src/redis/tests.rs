//! The connection, where a server stands between that cuts it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::atomic::AtomicBool,
    thread,
};

use super::*;
use server::{RedisCluster, RedisServer};

/// Stands before a server, and can keep its answers back.
struct Cutter {
    url: String,
    cut: Arc<AtomicBool>,
}

impl Cutter {
    fn before(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let cut = Arc::new(AtomicBool::new(false));
        let (cutting, port) = (Arc::clone(&cut), server.port());
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let clones = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let never = Arc::default();
                thread::spawn(move || pass_on(&clones.0, &clones.1, &never));
                let cutting = Arc::clone(&cutting);
                thread::spawn(move || pass_on(&server, &client, &cutting));
            }
        });
        Self { url, cut }
    }

    /// The next answer does not arrive: the connection is cut in its stead.
    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

fn pass_on(mut from: &TcpStream, mut to: &TcpStream, cut: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(length) = from.read(&mut buffer)
        && length > 0
        && !cut.swap(false, Ordering::SeqCst)
        && to.write_all(&buffer[..length]).is_ok()
    {}
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn what_may_have_been_done_is_done_again() {
    let server = RedisServer::start();
    let cutter = Cutter::before(&server);
    let redis = Redis::new(RedisConfig::server(&cutter.url).unwrap()).unwrap();
    let add = || Call::command("INCR").word("n");
    let connected = async || redis.call::<()>(&Call::command("PING")).await.unwrap();
    for number in 1..20 {
        connected().await;
        cutter.cut();
        // Once with an answer that was lost, and once more.
        assert_eq!(redis.call::<u64>(&add()).await.unwrap(), 2 * number);
    }
}

/// The same, of the node that has the key.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_cluster_does_it_again_too() {
    let cluster = RedisCluster::start();
    let node = cluster
        .0
        .iter()
        .find(|node| node.cli(&["set", "n", "1"]) == "OK");
    let node = node.unwrap();
    let cutter = Cutter::before(node);
    let port = cutter.url.rsplit(':').next().unwrap();
    node.cli(&["config", "set", "cluster-announce-port", port]);
    server::eventually("all know the node by its other port", || {
        let known = |node: &RedisServer| node.cli(&["cluster", "nodes"]).contains(port);
        cluster.0.iter().all(known)
    });
    let redis = Redis::new(RedisConfig::cluster(cluster.urls()).unwrap()).unwrap();
    let add = || Call::command("INCR").word("n");
    let connected = async || {
        let get = Call::command("GET").word("n");
        redis.call::<()>(&get).await.unwrap();
    };
    for number in 1..10 {
        connected().await;
        cutter.cut();
        assert_eq!(redis.call::<u64>(&add()).await.unwrap(), 1 + 2 * number);
    }
}
