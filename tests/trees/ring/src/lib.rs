//! An application on ring: this crate's crypto is aws-lc-rs, but no second provider of rustls is in the tree.
#![cfg(test)]

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tower_bearer::{RedisRevocation, RemoteKeySet};

/// One test, for a process has one provider.
#[tokio::test]
async fn the_application_keeps_its_provider() {
    let redis = "rediss://127.0.0.1:9";
    let error = RedisRevocation::new(redis).unwrap_err().to_string();
    assert!(error.contains("install_default"), "{error}");

    // rustls finds the only one by itself; with two it would panic here.
    let _ = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();

    let url = "https://127.0.0.1:9/jwks";
    let error = RemoteKeySet::jwks_url(url).build().unwrap_err().to_string();
    assert!(error.contains("process_crypto_provider"), "{error}");

    let _ = ring::default_provider().install_default();
    RedisRevocation::new(redis).unwrap();
    let keys = RemoteKeySet::jwks_url(url).process_crypto_provider().build().unwrap();
    let error = keys.ready().await.unwrap_err();
    assert_eq!(error.reason(), "connection");
}
