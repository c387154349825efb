//! A PostgreSQL of a test's own.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A server on a free port, with a folder of its own; it ends with this.
pub(crate) struct Postgres {
    child: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL does not run as root.
        if is_root() {
            let chown = Command::new("chown")
                .arg("postgres")
                .arg(folder.path())
                .status();
            assert!(chown.unwrap().success());
        }
        let data = folder.path().join("data");
        let made = command("initdb")
            .args([
                "--username",
                "login",
                "--auth",
                "trust",
                "--no-sync",
                "--pgdata",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("PostgreSQL is installed").success());
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut server = Self {
            child: None,
            port,
            folder,
        };
        server.restart();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://login@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it, on the same port and with the same data, and waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        eventually("PostgreSQL answers", || {
            // It does not start as long as a process of the former one is there.
            let is_running = self
                .child
                .as_mut()
                .is_some_and(|child| child.try_wait().unwrap().is_none());
            if !is_running {
                self.child = Some(self.spawn());
            }
            let ready = command("pg_isready")
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status();
            ready.unwrap().success()
        });
    }

    fn spawn(&self) -> Child {
        let child = command("postgres")
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-p",
                &self.port.to_string(),
            ])
            .arg("-k")
            .arg(self.folder.path())
            .arg("-D")
            .arg(self.data())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        child.unwrap()
    }

    /// As a crash would. The processes of its connections end when they notice.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            Command::new("kill").args(["-9", pid]).status().unwrap();
        }
        child.kill().ok();
        child.wait().unwrap();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

/// A program of PostgreSQL, which distributions keep out of the path.
fn command(program: &str) -> Command {
    let found = fs::read_dir("/usr/lib/postgresql")
        .ok()
        .and_then(|versions| {
            let binaries = versions
                .flatten()
                .map(|version| version.path().join("bin").join(program));
            binaries.into_iter().find(|binary| binary.exists())
        });
    let program = found.unwrap_or_else(|| Path::new(program).to_owned());
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

/// Asks again and again, for 30 seconds at most.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within 30 seconds");
        thread::sleep(Duration::from_millis(20));
    }
}
