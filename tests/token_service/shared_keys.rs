//! Signing keys from a source that several processes share.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tower_bearer::{
    Algorithm, BoxFuture, ManualClock, NumericDate, StoreError,
    token_service::{
        AuthorizationServer, Client, InMemoryClients, ScheduledKey, SigningKey, SigningKeyFile,
        SigningKeySource, SigningKeys,
    },
};

use crate::lab::{AUDIENCE, DAY, ISSUER, MINUTE, NOW, opened};

/// A file of its own, which is gone when the test ends.
struct TestFile(PathBuf);

impl TestFile {
    fn new() -> Self {
        let name = format!("tower-bearer-{}-{:p}", std::process::id(), &0_u8);
        let directory = std::env::temp_dir().join(format!("{name}-{}", unique()));
        fs::create_dir(&directory).unwrap();
        Self(directory.join("keys.json"))
    }

    fn source(&self, clock: &ManualClock) -> SigningKeyFile {
        SigningKeyFile::new(&self.0).clock(clock.clone())
    }

    fn keys(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.0).unwrap();
        let set: Value = serde_json::from_str(&text).unwrap();
        set["keys"].as_array().unwrap().clone()
    }

    fn others(&self) -> usize {
        fs::read_dir(self.0.parent().unwrap()).unwrap().count()
    }
}

fn unique() -> usize {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn key(id: &str) -> SigningKey {
    SigningKey::generate(Algorithm::ES256)
        .unwrap()
        .with_key_id(id)
}

fn at(time: Duration) -> NumericDate {
    NOW.saturating_add(time)
}

/// The `kid` of the tokens that a server with these keys issues.
async fn signer(keys: &SigningKeys) -> String {
    let client = Client::public("spa").build().unwrap();
    let server = AuthorizationServer::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .signing_keys(keys.clone())
        .clients(InMemoryClients::new([client]).unwrap())
        .unlimited_failures()
        .build()
        .unwrap();
    let tokens = server.issue("spa", "user", None).await.unwrap();
    let (header, _) = opened(tokens.access_token());
    header["kid"].as_str().unwrap().to_owned()
}

/// Two processes read one file, and a third rotates.
#[tokio::test(start_paused = true)]
async fn replicas_publish_one_set_before_it_is_used_and_sign_alike() {
    let clock = ManualClock::new(NOW);
    let file = TestFile::new();
    file.source(&clock).rotate(key("a"), MINUTE).await.unwrap();
    // The first key signs at once, whatever is asked for.
    assert_eq!(file.keys()[0]["nbf"], NOW.as_secs());

    let load = || {
        SigningKeys::from_source(file.source(&clock))
            .clock(clock.clone())
            .load()
    };
    let replicas = [load().await.unwrap(), load().await.unwrap()];
    file.source(&clock)
        .rotate(key("b"), 15 * MINUTE)
        .await
        .unwrap();
    assert_eq!(replicas[0].key_ids(), ["a"]);
    // They ask once a minute.
    tokio::time::sleep(MINUTE + Duration::from_secs(1)).await;
    for replica in &replicas {
        while replica.key_ids() != ["a", "b"] {
            tokio::task::yield_now().await;
        }
        assert_eq!(signer(replica).await, "a");
    }
    assert_eq!(replicas[0].public_key_set(), replicas[1].public_key_set());

    clock.set(at(15 * MINUTE));
    for replica in &replicas {
        assert_eq!(signer(replica).await, "b");
    }
    // The file forgets the private half of `a` at the next rotation, and all of it a day later.
    file.source(&clock)
        .rotate(key("c"), 15 * MINUTE)
        .await
        .unwrap();
    let kept: Vec<_> = file
        .keys()
        .iter()
        .map(|key| {
            (
                key["kid"].as_str().unwrap().to_owned(),
                key.get("d").is_some(),
            )
        })
        .collect();
    let expected = [("a", false), ("b", true), ("c", true)];
    assert_eq!(kept, expected.map(|(id, private)| (id.to_owned(), private)));
    replicas[0].reload().await.unwrap();
    assert_eq!(replicas[0].key_ids(), ["a", "b", "c"]);
    assert_eq!(signer(&replicas[0]).await, "b");

    clock.set(at(2 * DAY));
    file.source(&clock)
        .rotate(key("d"), 15 * MINUTE)
        .await
        .unwrap();
    let ids: Vec<_> = file.keys().iter().map(|key| key["kid"].clone()).collect();
    assert_eq!(ids, ["c", "d"]);
    assert_eq!(file.others(), 1, "nothing is left beside the file");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;

    let file = TestFile::new();
    let source = SigningKeyFile::new(&file.0);
    source.rotate(key("a"), MINUTE).await.unwrap();
    let mode = fs::metadata(&file.0).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing_and_says_why() {
    let file = TestFile::new();
    let clock = ManualClock::new(NOW);
    let load = || {
        SigningKeys::from_source(file.source(&clock))
            .clock(clock.clone())
            .load()
    };
    let error = load().await.unwrap_err().to_string();
    assert!(
        error.contains("keys.json") && error.contains("cannot be read"),
        "{error}"
    );

    file.source(&clock).rotate(key("a"), MINUTE).await.unwrap();
    let keys = load().await.unwrap();
    let with = |id: &str, from: u64| {
        let written: Value = serde_json::from_str(key(id).to_jwk().unwrap().expose()).unwrap();
        let mut written = written;
        written["nbf"] = from.into();
        written
    };
    let public = |id: &str, from: u64| {
        let mut key = with(id, from);
        key.as_object_mut().unwrap().remove("d");
        key
    };
    let set = |keys: Value| json!({ "keys": keys }).to_string();
    let now = NOW.as_secs();
    let mut odd = with("b", now);
    odd["nbf"] = json!("today");
    for (text, said) in [
        (String::new(), "not a JSON object"),
        ("{}".to_owned(), "no `keys`"),
        (set(json!([])), "no signing key"),
        (
            set(json!([with("a", 0), with("a", 1)])),
            "have the id \"a\"",
        ),
        (
            set(json!([with("a", 1), with("b", 1)])),
            "from the same time",
        ),
        (set(json!([public("a", 0)])), "no signing key"),
        (
            set(json!([with("a", 0), public("b", now)])),
            "\"b\" has no private half",
        ),
        (
            set(json!([public("a", 0), with("b", now + 1)])),
            "\"a\" has no private half",
        ),
        (
            set(json!([with("a", 0), odd])),
            "the key 1 is not usable: `nbf`",
        ),
        (
            set(json!([with("a", 0), {}])),
            "the key 1 is not usable: a public key without `alg`",
        ),
        (" ".repeat(256 * 1024 + 1), "larger than 256 KiB"),
    ] {
        fs::write(&file.0, &text).unwrap();
        let error = keys.reload().await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(keys.key_ids(), ["a"]);
        assert!(load().await.is_err());
    }
    assert!(file.source(&clock).rotate(key("b"), MINUTE).await.is_err());
    fs::remove_file(&file.0).unwrap();
    fs::create_dir(&file.0).unwrap();
    let error = keys.reload().await.unwrap_err().to_string();
    assert!(error.contains("no regular file"), "{error}");
    // Keys in the future are published, and the first one signs in the meantime.
    fs::remove_dir(&file.0).unwrap();
    fs::write(
        &file.0,
        set(json!([with("b", now + 60), with("c", now + 120)])),
    )
    .unwrap();
    keys.reload().await.unwrap();
    assert_eq!(
        (keys.key_ids(), signer(&keys).await),
        (vec!["b".into(), "c".into()], "b".into())
    );
}

/// What a source of one's own answers next.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Vec<Answer>>>);

enum Answer {
    Keys(Vec<ScheduledKey>),
    Panic,
    Never,
}

impl SigningKeySource for Script {
    fn keys(&self) -> BoxFuture<Result<Vec<ScheduledKey>, StoreError>> {
        let answer = self.0.lock().unwrap().pop();
        Box::pin(async {
            match answer {
                Some(Answer::Keys(keys)) => Ok(keys),
                Some(Answer::Panic) => panic!("a fault of the source"),
                Some(Answer::Never) => std::future::pending().await,
                None => Err(StoreError::new("no more")),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_or_hangs_is_asked_again() {
    let keys = |id| Answer::Keys(vec![ScheduledKey::new(key(id), NOW)]);
    let script = Script::default();
    let load = || SigningKeys::from_source(script.clone());
    script.0.lock().unwrap().push(Answer::Never);
    let error = load().load().await.unwrap_err().to_string();
    assert!(error.contains("in time"), "{error}");

    let answers = [
        keys("c"),
        Answer::Never,
        Answer::Panic,
        keys("b"),
        keys("a"),
    ];
    script.0.lock().unwrap().extend(answers);
    let signing = load().load().await.unwrap();
    let mut seen = vec![signing.key_ids()];
    while seen.len() < 3 {
        tokio::time::sleep(MINUTE).await;
        let ids = signing.key_ids();
        if !seen.contains(&ids) {
            seen.push(ids);
        }
    }
    assert_eq!(seen, [["a"], ["b"], ["c"]]);

    // Changes are made at the source.
    for error in [
        signing.rotate(key("d"), MINUTE).unwrap_err(),
        signing.withdraw("c").unwrap_err(),
    ] {
        assert!(error.to_string().contains("`reload`"), "{error}");
    }
    let error = SigningKeys::new(key("a")).reload().await.unwrap_err();
    assert!(error.to_string().contains("source"), "{error}");
    // Nobody asks any longer once the keys are dropped.
    drop(signing);
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(Arc::strong_count(&script.0), 1);
}

#[tokio::test]
async fn settings_out_of_bounds_are_config_errors() {
    let load = || SigningKeys::from_source(Script::default());
    for (loader, said) in [
        (load().reload_every(Duration::ZERO), "`reload_every`"),
        (load().reload_every(DAY), "`reload_every`"),
        (load().timeout(Duration::ZERO), "timeout"),
        (load().timeout(DAY), "timeout"),
    ] {
        let error = loader.load().await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
