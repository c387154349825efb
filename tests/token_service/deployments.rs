//! Redis as it is deployed: Sentinel, a replica that is promoted, a Unix socket, TLS with a CA and a client certificate,
//! a TLS cluster, and a connection of one's own. `scripts/redis_deployments.sh` runs them, also on Valkey: the variable
//! `REDIS_SERVER` names the program.

#![allow(clippy::print_stdout)]

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tower_bearer::{
    BoxFuture, Claims, NumericDate, RedisConfig, RedisConnection, RedisReply, RedisRevocation,
    RedisTls, Revocation, Revoked, StoreError, token_service::RedisRefreshStore,
};

use crate::{
    lab::{Lab, NOW, text},
    redis_server::eventually,
};

/// A directory of a test's own, with the certificates that it needs, and the servers in it.
struct Place {
    directory: PathBuf,
    servers: Vec<Child>,
}

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("tower-bearer-{name}-{}", std::process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Self {
            directory,
            servers: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().unwrap().to_owned()
    }

    /// Starts a server, and says which of them it is.
    fn start(&mut self, settings: &[&str]) -> usize {
        let program = env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut command = Command::new(&program);
        let number = self.servers.len();
        let own = self.directory.join(number.to_string());
        fs::create_dir_all(&own).unwrap();
        if settings.first() == Some(&"--sentinel") {
            // Its file comes first, and is written by it.
            let file = own.join("sentinel.conf");
            fs::write(&file, "").unwrap();
            command.arg(file);
        }
        command.args(settings).arg("--dir").arg(&own);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn();
        self.servers
            .push(child.unwrap_or_else(|_| panic!("{program} is installed")));
        number
    }

    /// A plain server on a free port.
    fn plain(&mut self, settings: &[&str]) -> (usize, u16) {
        let port = free_port();
        let own = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--port",
            &port.to_string(),
        ];
        let number = self.start(&[&own, settings].concat());
        listens(port);
        (number, port)
    }

    fn kill(&mut self, number: usize) {
        self.servers[number].kill().unwrap();
        self.servers[number].wait().unwrap();
    }

    /// Certificates of a CA of its own, for servers at 127.0.0.1 and for clients.
    fn certificates(&self) -> RedisTls {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
            .distinguished_name
            .push(DnType::CommonName, "a CA");
        let ca = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        fs::write(self.path("ca.pem"), ca.pem()).unwrap();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
            let parameters = CertificateParams::new(names).unwrap();
            let certificate = parameters.signed_by(&key, &ca).unwrap();
            fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(self.path(&format!("{name}-key.pem")), key.serialize_pem()).unwrap();
        }
        self.trusting()
            .client_certificate_pem(
                fs::read(self.path("client.pem")).unwrap(),
                fs::read(self.path("client-key.pem")).unwrap(),
            )
            .unwrap()
    }

    fn trusting(&self) -> RedisTls {
        let ca = fs::read(self.path("ca.pem")).unwrap();
        RedisTls::new().ca_pem(ca).unwrap()
    }

    /// A server that speaks TLS alone, and wants a certificate of its clients.
    fn secure(&mut self, settings: &[&str]) -> u16 {
        let port = free_port().to_string();
        let (ca, certificate, key) = (
            self.path("ca.pem"),
            self.path("server.pem"),
            self.path("server-key.pem"),
        );
        let own = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--port",
            "0",
            "--tls-port",
            &port,
            "--tls-ca-cert-file",
            &ca,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-auth-clients",
            "yes",
        ];
        self.start(&[&own, settings].concat());
        let port = port.parse().unwrap();
        listens(port);
        port
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn listens(port: u16) {
    eventually("a server listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
}

fn cli(port: u16, words: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(words)
        .output()
        .expect("redis-cli is installed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn lab(config: &RedisConfig, timeout: Duration) -> Lab {
    let store = RedisRefreshStore::with_config(config.clone())
        .unwrap()
        .timeout(timeout);
    Lab::with(|builder| builder.refresh_tokens(store))
}

/// What both stores are for: a session goes on, an old token ends it, and what one revokes another knows.
async fn works(config: &RedisConfig) {
    let lab = lab(config, Duration::from_secs(5));
    let first = lab.refresh_token().await;
    let mut token = first.clone();
    for _ in 0..3 {
        token = refreshed(&lab, &token).await;
    }
    assert_eq!(lab.refresh(&first).await.status, 401);
    assert_eq!(lab.refresh(&token).await.status, 401);

    let open = || RedisRevocation::with_config(config.clone()).unwrap();
    let (one, other) = (open(), open());
    let expires_at = NumericDate::from_secs(253_402_300_799);
    one.revoke_token("a-token", expires_at).await.unwrap();
    assert!(other.check().await.unwrap().evicting_policy().is_none());
    // It reads what was there before its first answer.
    let claims = Claims::builder().id("a-token").build(());
    let known = match other.is_revoked(claims.registered()) {
        Revoked::Pending(answer) => answer.await,
        Revoked::Ready(answer) => answer,
    };
    assert!(known.unwrap());
}

async fn refreshed(lab: &Lab, token: &str) -> String {
    let answer = lab.refresh(token).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    text(
        &serde_json::from_str(&answer.body).unwrap(),
        "refresh_token",
    )
}

/// Refreshes until it has been another server for a while. Every answer is 200.
async fn goes_on_through(config: &RedisConfig, fail_over: impl FnOnce()) -> Duration {
    let lab = lab(config, Duration::from_secs(30));
    let mut token = lab.refresh_token().await;
    for _ in 0..20 {
        token = refreshed(&lab, &token).await;
    }
    fail_over();
    let begun = Instant::now();
    token = refreshed(&lab, &token).await;
    let took = begun.elapsed();
    for _ in 0..20 {
        token = refreshed(&lab, &token).await;
    }
    took
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn deployment_sentinel_fails_over_and_no_session_is_lost() {
    let mut place = Place::new("sentinel");
    let (primary, port) = place.plain(&[]);
    let (_, replica) = place.plain(&["--replicaof", "127.0.0.1", &port.to_string()]);
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        let own = free_port();
        let monitored = port.to_string();
        place.start(&[
            "--sentinel",
            "--bind",
            "127.0.0.1",
            "--port",
            &own.to_string(),
        ]);
        listens(own);
        assert_eq!(
            cli(
                own,
                &[
                    "sentinel",
                    "monitor",
                    "mymaster",
                    "127.0.0.1",
                    &monitored,
                    "2"
                ]
            ),
            "OK"
        );
        cli(
            own,
            &[
                "sentinel",
                "set",
                "mymaster",
                "down-after-milliseconds",
                "1000",
            ],
        );
        cli(
            own,
            &["sentinel", "set", "mymaster", "failover-timeout", "5000"],
        );
        sentinels.push(own);
    }
    eventually("the sentinels know each other and the replica", || {
        sentinels.iter().all(|sentinel| {
            let known = cli(*sentinel, &["sentinel", "master", "mymaster"]);
            let after = |name: &str| {
                known
                    .lines()
                    .skip_while(|line| *line != name)
                    .nth(1)
                    .map(str::to_owned)
            };
            after("num-other-sentinels").as_deref() == Some("2")
                && after("num-slaves").as_deref() == Some("1")
        })
    });
    eventually("the replica is in step", || {
        cli(replica, &["info", "replication"]).contains("master_link_status:up")
    });
    // One of them is down.
    let mut urls = vec![format!("redis://127.0.0.1:{}", free_port())];
    urls.extend(
        sentinels
            .iter()
            .map(|port| format!("redis://127.0.0.1:{port}")),
    );
    let config = RedisConfig::sentinel(&urls, "mymaster").unwrap();
    works(&config).await;
    let took = goes_on_through(&config, || {
        // What was answered is replicated in the moment after.
        std::thread::sleep(Duration::from_millis(200));
        place.kill(primary);
    })
    .await;
    println!("sentinel: the first refresh after the primary was killed took {took:?}");
    assert!(cli(replica, &["role"]).starts_with("master"));

    let unknown = RedisConfig::sentinel(&urls, "other").unwrap();
    let store = RedisRefreshStore::with_config(unknown).unwrap();
    let error = store
        .timeout(Duration::from_secs(1))
        .check()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("no primary of that name"),
        "{error}"
    );
}

/// As where a name of the DNS, or a proxy, is turned to the replica: the client sees `READONLY`, or a connection that
/// breaks.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn deployment_a_replica_is_promoted_by_hand_and_no_session_is_lost() {
    let mut place = Place::new("replica");
    let (_, old) = place.plain(&[]);
    let (_, new) = place.plain(&["--replicaof", "127.0.0.1", &old.to_string()]);
    eventually("the replica is in step", || {
        cli(new, &["info", "replication"]).contains("master_link_status:up")
    });
    let name = Name::of(old);
    let config = RedisConfig::server(format!("redis://127.0.0.1:{}", name.port)).unwrap();
    works(&config).await;
    let took = goes_on_through(&config, || {
        std::thread::sleep(Duration::from_millis(200));
        cli(new, &["replicaof", "no", "one"]);
        // The connections to the old primary stay, and it becomes a replica.
        cli(old, &["replicaof", "127.0.0.1", &new.to_string()]);
        name.turn_to(new);
    })
    .await;
    println!("replica: the first refresh after it was promoted took {took:?}");
}

/// What a name stands for: new connections go to the port that it was turned to last.
struct Name {
    port: u16,
    to: std::sync::Arc<std::sync::atomic::AtomicU16>,
}

impl Name {
    fn of(port: u16) -> Self {
        use std::sync::{
            Arc,
            atomic::{AtomicU16, Ordering},
        };

        let to = Arc::new(AtomicU16::new(port));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let turned = Arc::clone(&to);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let Ok(server) = TcpStream::connect(("127.0.0.1", turned.load(Ordering::SeqCst)))
                else {
                    continue;
                };
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        Self { port, to }
    }

    fn turn_to(&self, port: u16) {
        self.to.store(port, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn deployment_a_unix_socket_with_a_password() {
    let mut place = Place::new("unix");
    let socket = place.path("redis.sock");
    place.start(&[
        "--port",
        "0",
        "--save",
        "",
        "--unixsocket",
        &socket,
        "--requirepass",
        "p",
    ]);
    eventually("the socket is there", || Path::new(&socket).exists());
    works(&RedisConfig::server(format!("unix://{socket}?pass=p")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn deployment_tls_with_a_ca_and_a_client_certificate() {
    let mut place = Place::new("tls");
    let tls = place.certificates();
    let port = place.secure(&["--requirepass", "p"]);
    let at = |host: &str| RedisConfig::server(format!("rediss://:p@{host}:{port}")).unwrap();
    works(&at("127.0.0.1").tls(tls.clone())).await;
    works(&at("localhost").tls(tls)).await;
    // The roots of the platform do not know the CA; without a certificate a client is not let in.
    for (config, said) in [
        (at("127.0.0.1"), "UnknownIssuer"),
        (at("127.0.0.1").tls(place.trusting()), ""),
    ] {
        let store = RedisRefreshStore::with_config(config).unwrap();
        let error = store
            .timeout(Duration::from_secs(1))
            .check()
            .await
            .unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn deployment_a_tls_cluster_with_a_password() {
    let mut place = Place::new("tls-cluster");
    let tls = place.certificates();
    let mut ports = Vec::new();
    for _ in 0..3 {
        let bus = free_port().to_string();
        ports.push(place.secure(&[
            "--cluster-enabled",
            "yes",
            "--tls-cluster",
            "yes",
            "--cluster-port",
            &bus,
            "--requirepass",
            "p",
            "--masterauth",
            "p",
        ]));
    }
    let paths = ["ca.pem", "client.pem", "client-key.pem"].map(|name| place.path(name));
    let login = [
        "--tls",
        "--cacert",
        &paths[0],
        "--cert",
        &paths[1],
        "--key",
        &paths[2],
        "-a",
        "p",
        "--no-auth-warning",
    ];
    let nodes: Vec<_> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let mut words = login.to_vec();
    words.extend(["--cluster", "create"]);
    words.extend(nodes.iter().map(String::as_str));
    words.push("--cluster-yes");
    let said = cli(0, &words);
    eventually(&format!("the cluster is complete: {said}"), || {
        ports.iter().all(|port| {
            let state = cli(*port, &[&login[..], &["cluster", "info"]].concat());
            state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:3")
        })
    });
    let urls = nodes.iter().map(|node| format!("rediss://:p@{node}"));
    let config = RedisConfig::cluster(urls).unwrap().tls(tls);
    // Families are in slots of all three nodes.
    for _ in 0..5 {
        works(&config).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn deployment_an_evicting_policy_is_found_out() {
    let mut place = Place::new("evicting");
    for (policy, evicts) in [
        ("noeviction", false),
        ("allkeys-lru", true),
        ("volatile-ttl", true),
    ] {
        let (_, port) = place.plain(&["--maxmemory-policy", policy]);
        let store = RedisRefreshStore::new(format!("redis://127.0.0.1:{port}")).unwrap();
        let check = store.check().await.unwrap();
        assert_eq!(check.maxmemory_policies().collect::<Vec<_>>(), [policy]);
        assert_eq!(check.evicting_policy(), evicts.then_some(policy));
    }
}

/// A client of one's own, which knows nothing but how to write to a socket.
struct Own(u16);

impl RedisConnection for Own {
    fn send(&self, command: Vec<Vec<u8>>) -> BoxFuture<Result<RedisReply, StoreError>> {
        let port = self.0;
        let asked = tokio::task::spawn_blocking(move || ask(port, &command));
        Box::pin(async {
            asked
                .await
                .map_err(StoreError::new)?
                .map_err(StoreError::new)
        })
    }
}

fn ask(port: u16, command: &[Vec<u8>]) -> std::io::Result<RedisReply> {
    use std::io::{BufReader, Write};

    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "*{}\r\n", command.len())?;
    for word in command {
        write!(stream, "${}\r\n", word.len())?;
        stream.write_all(word)?;
        stream.write_all(b"\r\n")?;
    }
    reply(&mut BufReader::new(stream))
}

fn reply(stream: &mut impl std::io::BufRead) -> std::io::Result<RedisReply> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at(1);
    let number = || rest.parse::<i64>().map_err(std::io::Error::other);
    Ok(match kind {
        ":" => RedisReply::Integer(number()?),
        "+" => RedisReply::Text(rest.into()),
        "-" => RedisReply::Error(rest.into()),
        "$" if number()? >= 0 => {
            let mut text = vec![0; number()? as usize + 2];
            stream.read_exact(&mut text)?;
            text.truncate(text.len() - 2);
            RedisReply::Text(text)
        }
        "*" if number()? >= 0 => {
            let replies = (0..number()?).map(|_| reply(stream));
            RedisReply::Array(replies.collect::<std::io::Result<_>>()?)
        }
        _ => RedisReply::Nil,
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn deployment_a_connection_of_ones_own() {
    let mut place = Place::new("own");
    let (_, port) = place.plain(&[]);
    works(&RedisConfig::connection(Own(port))).await;
    assert_ne!(NOW.as_secs(), 0);
}

#[test]
fn redis_configurations_that_cannot_be_are_config_errors() {
    let none: [&str; 0] = [];
    let build = |config: Result<RedisConfig, tower_bearer::ConfigError>| {
        config.and_then(RedisRefreshStore::with_config).map(drop)
    };
    let plain = || RedisConfig::server("redis://localhost");
    for (config, said) in [
        (
            build(RedisConfig::server("http://localhost")),
            "redis://user",
        ),
        (
            build(RedisConfig::server("rediss://localhost#insecure")),
            "`RedisTls::ca_pem`",
        ),
        (build(RedisConfig::cluster(none)), "cluster"),
        (
            build(RedisConfig::cluster(["redis://a", "rediss://b"])),
            "all must be alike",
        ),
        (
            build(RedisConfig::sentinel(none, "mymaster")),
            "one sentinel",
        ),
        (
            build(RedisConfig::sentinel(["redis://a:26379"], "")),
            "mymaster",
        ),
        (
            build(RedisConfig::sentinel(["redis://a:26379/1"], "m")),
            "`RedisConfig::database`",
        ),
        (
            build(plain().map(|config| config.tls(RedisTls::new()))),
            "rediss:// in place",
        ),
        (RedisTls::new().ca_pem("").map(drop), "no `CERTIFICATE`"),
        (
            RedisTls::new().client_certificate_pem("", "").map(drop),
            "no `CERTIFICATE`",
        ),
    ] {
        let error = config.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let shown = format!(
        "{:?}",
        RedisConfig::server("rediss://user:password@host").unwrap()
    );
    assert!(
        shown.contains("host") && !shown.contains("user") && !shown.contains("password"),
        "{shown}"
    );
}
