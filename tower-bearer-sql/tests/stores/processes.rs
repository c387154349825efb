//! Two processes on one database (attacks.md, 34).

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{
    Lab,
    families::{issue, refresh, server},
    on_both, open,
};

const TOKENS: usize = 10;
const PRESENTATIONS: usize = 20;
const URL: &str = "TOWER_BEARER_TEST_DATABASE_URL";

/// What each of the two does: presents each token of its input many times at once, and tells how often it was good.
#[allow(clippy::print_stdout, reason = "how it tells the other process")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presents_tokens() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    let server = server(open(&url).refresh_tokens());
    for line in std::io::stdin().lines() {
        let token = line.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..PRESENTATIONS {
            let (server, token) = (server.clone(), token.clone());
            tasks.spawn(async move { refresh(&server, &token).await.0 });
        }
        let statuses = tasks.join_all().await;
        assert!(
            statuses.iter().all(|status| [200, 401].contains(status)),
            "{statuses:?}"
        );
        println!(
            "\ngood {}",
            statuses.iter().filter(|&&status| status == 200).count()
        );
    }
}

async fn one_is_good(lab: Lab) {
    let server = server(lab.database.refresh_tokens());
    let mut tokens = String::new();
    for number in 0..TOKENS {
        tokens += &issue(&server, &format!("user{number}")).await;
        tokens.push('\n');
    }
    let start = || {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["processes::presents_tokens", "--exact", "--nocapture"])
            .env(URL, &lab.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(tokens.as_bytes())
            .unwrap();
        child
    };
    let mut sums = [0; TOKENS];
    for child in [start(), start()] {
        let output = child.wait_with_output().unwrap();
        let output_text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{output_text}");
        let counts = output_text
            .lines()
            .filter_map(|line| line.strip_prefix("good "));
        let counts: Vec<usize> = counts.map(|count| count.parse().unwrap()).collect();
        assert_eq!(counts.len(), TOKENS, "{output_text}");
        sums.iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
    }
    assert_eq!(sums, [1; TOKENS]);
}
on_both!(of_all_presentations_by_two_processes_one_is_good => super::one_is_good);
