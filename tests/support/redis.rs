//! A Redis server of a test's own, and a cluster of three.

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A `redis-server` on a free port, with a directory of its own; it ends with this.
pub(crate) struct RedisServer {
    child: Option<Child>,
    port: u16,
    directory: PathBuf,
    settings: Vec<String>,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With settings, as on the command line. They have to leave `PING` without a password an answer.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-bearer-redis-{}-{number}", std::process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let mut server = Self {
            child: None,
            port: free_port(),
            directory,
            settings: settings.iter().map(|&setting| setting.into()).collect(),
        };
        server.restart();
        server
    }

    /// Starts it, on the same port and in the same directory, and waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            .args(["--port", &self.port.to_string()])
            .arg("--dir")
            .arg(&self.directory)
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed"));
        eventually("redis-server answers", || self.answers());
    }

    /// As a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` says to these words.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        cli(&[&["-p", &port], words].concat())
    }

    /// Whether it has loaded what it has, and answers.
    fn answers(&self) -> bool {
        let ping = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer)?;
            Ok(answer.starts_with(b"+PONG") || answer.starts_with(b"-NOAUTH"))
        };
        ping().unwrap_or(false)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// Three nodes, without replicas.
pub(crate) struct RedisCluster(pub(crate) Vec<RedisServer>);

impl RedisCluster {
    pub(crate) fn start() -> Self {
        let node = |_| {
            let bus = free_port().to_string();
            let enabled = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            RedisServer::start_with(&enabled)
        };
        let nodes: Vec<_> = (0..3).map(node).collect();
        let addresses: Vec<_> = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        let mut words = vec!["--cluster", "create"];
        words.extend(addresses.iter().map(String::as_str));
        words.extend(["--cluster-replicas", "0", "--cluster-yes"]);
        let said = cli(&words);
        let cluster = Self(nodes);
        eventually(&format!("the cluster is complete: {said}"), || {
            let knows_all = |node: &RedisServer| {
                let state = node.cli(&["cluster", "info"]);
                state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:3")
            };
            cluster.0.iter().all(knows_all)
        });
        cluster
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.0.iter().map(RedisServer::url).collect()
    }
}

/// Asks again and again, for 20 seconds at most.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within 20 seconds");
        thread::sleep(Duration::from_millis(10));
    }
}

fn cli(words: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    let output = command
        .args(words)
        .output()
        .expect("redis-cli is installed");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    said + &String::from_utf8_lossy(&output.stderr)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
