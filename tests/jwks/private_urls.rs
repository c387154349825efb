//! Attack 44: the query of a configured URL, which may be a secret, and what others write, in what
//! is said of keys.

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use super::{
    server::{Does, Server},
    *,
};

const SECRET: &str = "s3cret";

/// An error that names the URL, as those of some clients do, over several lines.
#[derive(Debug)]
struct Names(String);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(
            f,
            "error for url ({url}):\r\n2026-01-01 INFO all is well at {url}.\u{1b}[2K{}",
            "x".repeat(5000)
        )
    }
}

impl std::error::Error for Names {}

/// A set at a URL with a secret in its query, whose client fails so or gives these keys.
fn set_at(url: &str, json: Option<String>) -> RemoteKeySet {
    let client = tower::service_fn(move |request: Request<()>| {
        let json = json.clone();
        async move {
            assert_eq!(request.uri().query(), Some("key=s3cret&x=%20"));
            match json {
                Some(json) => Ok(Response::new(Full::<Bytes>::from(json))),
                None => Err(Names(request.uri().to_string())),
            }
        }
    });
    RemoteKeySet::jwks_url(url).client(client).build().unwrap()
}

const URL: &str = "https://login.example.com/jwks?key=s3cret&x=%20";

/// All that can be got out of a set as text.
async fn texts(keys: RemoteKeySet) -> Vec<String> {
    let ready = keys.ready().await;
    let health = keys.health();
    let status = health.status();
    let verifier = verifier(keys.clone());
    let verdict = verifier
        .verify(BearerToken::parse(&token(&signer("z"))).unwrap())
        .await;
    let error = verdict.unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    vec![
        format!("{keys:?}"),
        format!("{health:?}"),
        format!("{status:?}"),
        format!("{verifier:?}"),
        format!("{ready:?}"),
        format!("{error:?} {error} {source:?}"),
        status
            .last_error
            .map(|error| error.to_string())
            .unwrap_or_default(),
    ]
}

#[track_caller]
fn assert_fit_for_a_log(text: &str) {
    assert!(!text.contains(SECRET), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 2000, "{text}");
}

#[tokio::test(start_paused = true)]
async fn attack_44_no_text_about_a_set_holds_the_query() {
    for json in [None, Some(set(&[&signer("a")]))] {
        let fails = json.is_none();
        let texts = texts(set_at(URL, json)).await;
        for text in &texts {
            assert_fit_for_a_log(text);
        }
        assert!(
            texts[0].contains("https://login.example.com/jwks"),
            "{texts:?}"
        );
        // What is left says what is wrong.
        let said = texts.last().unwrap();
        assert_eq!(
            fails,
            said.contains("error for url (https://login.example.com/jwks):"),
            "{said}"
        );
        assert_eq!(fails, said.contains("\\r\\n2026-01-01"), "{said}");
    }
}

/// What is wrong with a configured URL is said without its secrets.
#[test]
fn attack_44_no_error_of_the_configuration_holds_a_secret_of_the_url() {
    for url in [
        "http://login.example.com/jwks?key=s3cret",
        "https://user:s3cret@login.example.com/jwks",
        "https://s3cret@login.example.com/jwks",
        "https://login.example.com:99999/jwks?key=s3cret",
        "https://login.example.com/jwks#s3cret",
        "https://login.example.com/\r\n?s3cret",
        "https://login.example.com/ü?s3cret",
        "https:/user:s3cret@login.example.com",
        "ftp://user:s3cret@login.example.com/?s3cret",
    ] {
        for keys in [RemoteKeySet::jwks_url(url), RemoteKeySet::discover(url)] {
            assert_fit_for_a_log(&format!("{keys:?}"));
            let error = keys.build().unwrap_err();
            assert_fit_for_a_log(&format!("{error} {error:?}"));
            assert!(error.to_string().contains("login.example.com"), "{error}");
        }
    }
}

/// What is wrong with what a server answers is said in one line, whatever it answers.
#[tokio::test]
async fn attack_44_what_a_server_writes_stays_on_its_line() {
    let flood = "\r\n2026 INFO ok ".repeat(5000);
    let kid = json!({ "keys": [
        { "kty": "RSA\r\n", "kid": flood }, { "kty": flood, "kid": "\u{1b}[2K" }, { "kty": "RSA", "alg": flood },
        { "kty": "EC", "crv": flood, "x": flood }, { "use": flood },
    ] });
    for (of, does) in [
        ("a kid", Does::answers(&kid.to_string())),
        ("a body", Does::answers(&flood)),
        (
            "a reason phrase",
            Does::says("500 all\u{b}is\twell", &[], ""),
        ),
        (
            "a location",
            Does::says("302 Found", &["location: https://h/?s3cret"], ""),
        ),
        ("no HTTP", Does::Sends(flood.clone().into_bytes())),
    ] {
        let server = Server::new(does).await;
        let keys = server.keys().build().unwrap();
        let error = keys.ready().await.unwrap_err();
        assert_fit_for_a_log(&error.to_string());
        for skipped in keys.health().status().skipped {
            assert_fit_for_a_log(&skipped.to_string());
        }
        assert!(error.to_string().len() < 600, "{of}: {error}");
    }
}

/// Events and spans, those of the libraries below at every level among them, and labels of
/// metrics.
#[cfg(all(feature = "tracing", feature = "metrics"))]
#[test]
fn attack_44_no_event_and_no_label_holds_the_query() {
    use metrics_util::debugging::DebuggingRecorder;
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    share_events_among_tests();
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(lines.clone())
        .finish();
    let recorder = DebuggingRecorder::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async {
                let good = Does::answers(&set(&[&signer("a")]));
                for does in [Does::says("500 Oh", &[], ""), Does::Sends(Vec::new()), good] {
                    let server = Server::new(does).await;
                    let url = server.url("/jwks?key=s3cret&x=%20");
                    let keys = RemoteKeySet::jwks_url(url).no_proxy().build().unwrap();
                    texts(keys).await;
                    assert!(server.paths()[0].contains(SECRET), "it is asked for");
                }
                texts(set_at(URL, None)).await;
            });
        });
    });
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let ours = lines.lines().filter(|line| line.contains("key_set"));
    assert!(ours.count() > 20, "{lines}");
    for line in lines.lines() {
        assert!(!line.contains(SECRET), "{line}");
        // Each begins as a line of the log does, with the time.
        assert!(
            line.starts_with("20") && !line.starts_with("2026-01-01 INFO"),
            "{line}"
        );
    }
    for (key, _, _, _) in recorder.snapshotter().snapshot().into_vec() {
        assert!(!format!("{key:?}").contains(SECRET), "{key:?}");
    }
}
