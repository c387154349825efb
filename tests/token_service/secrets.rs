//! What is secret is shown nowhere: not by `Debug`, not in a log line, not in a problem.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing_subscriber::{fmt::MakeWriter, prelude::*};

use crate::lab::{self, Lab, granted, post, post_as, text};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_token_and_no_secret_is_in_a_log_line_a_debug_or_a_problem() {
    let log = Log::default();
    let layer = tracing_subscriber::fmt::layer().with_writer(log.clone());
    let _guard = tracing_subscriber::registry().with(layer).set_default();

    let lab = Lab::new();
    let tokens = lab.tokens().await;
    let first = text(&tokens, "refresh_token");
    let second = text(&granted(lab.refresh(&first).await), "refresh_token");
    let wrong = "a-wrong-secret-that-is-nearly-right";
    let mut shown = String::new();
    for answer in [
        lab.refresh(&first).await,
        lab.refresh(&second).await,
        post_as(
            lab.server.oauth_endpoint(),
            &lab::basic("gen", wrong),
            &[("grant_type", "client_credentials")],
        )
        .await,
        post(
            lab.server.token_endpoint(),
            &[
                ("grant_type", "client_credentials"),
                ("client_id", "gen"),
                ("client_secret", wrong),
            ],
        )
        .await,
        post_as(
            lab.server.revocation_endpoint(),
            &lab.basic(),
            &[("token", &first)],
        )
        .await,
    ] {
        shown.push_str(&format!("{answer:?}"));
    }
    lab.refresh_token().await;
    let families = lab.families_of("gen").await;
    shown.push_str(&format!(
        "{:?} {:?} {:?} {:?} {:?} {families:?}",
        lab.server,
        lab.server.token_endpoint(),
        lab.keys,
        lab.clients,
        lab.refresh_tokens
    ));
    shown.push_str(&String::from_utf8_lossy(&log.0.lock().unwrap()));
    let access = text(&tokens, "access_token");
    let signature = access.rsplit('.').next().unwrap();
    for secret in [&first, &second, &lab.secret, wrong, &access, signature] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(
        shown.contains("its family has ended"),
        cfg!(feature = "tracing"),
        "{shown}"
    );
}
