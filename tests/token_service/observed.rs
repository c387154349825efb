//! What is counted of requests for tokens.

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::lab::{Lab, granted, post, post_as, text};

#[tokio::test]
async fn each_answer_is_counted_once_by_endpoint_and_outcome() {
    let recorder = DebuggingRecorder::new();
    let counted = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let lab = Lab::new();
    let first = lab.refresh_token().await;
    let second = text(&granted(lab.refresh(&first).await), "refresh_token");
    for token in [&*first, &second, "nope"] {
        assert_eq!(lab.refresh(token).await.status, 401);
    }
    let wrong = [
        ("grant_type", "client_credentials"),
        ("client_id", "nobody"),
        ("client_secret", "x"),
    ];
    post(lab.server.token_endpoint(), &wrong).await;
    post(lab.server.oauth_endpoint(), &[("grant_type", "password")]).await;
    post_as(
        lab.server.revocation_endpoint(),
        &lab.basic(),
        &[("token", "nope")],
    )
    .await;

    let mut found = BTreeMap::new();
    for (key, _, _, value) in counted.snapshot().into_vec() {
        if key.key().name() == "tower_bearer.token_requests" {
            let labels = key.key().labels().map(|label| label.value().to_owned());
            let DebugValue::Counter(count) = value else {
                panic!("a counter")
            };
            found.insert(labels.collect::<Vec<_>>().join(" "), count);
        }
    }
    let expected = [
        ("oauth refused unsupported_grant_type", 1),
        ("refresh refused token_malformed", 1),
        ("refresh refused token_reused", 1),
        ("refresh refused token_unknown", 1),
        ("refresh success", 1),
        ("revocation success", 1),
        ("token refused invalid_client", 1),
        ("token success", 1),
    ];
    assert_eq!(
        found,
        expected
            .map(|(labels, count)| (labels.to_owned(), count))
            .into()
    );
}
