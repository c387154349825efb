//! The ready-made client over TLS: by the crypto provider of the process, or by one of its own. Each case runs in a
//! process of its own, because a provider is installed once for a process, and roots are read from its environment.
#![cfg(all(feature = "client", feature = "testing", feature = "_crypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::{path::PathBuf, process::Command, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
#[cfg(feature = "aws-lc-rs")]
use tokio_rustls::rustls::crypto::aws_lc_rs as backend;
#[cfg(not(feature = "aws-lc-rs"))]
use tokio_rustls::rustls::crypto::ring as backend;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{CipherSuite, ServerConfig, crypto::CryptoProvider, pki_types::PrivateKeyDer},
};
use tower_bearer::{Algorithm, RemoteKeySet};

/// A provider that knows this suite of TLS 1.3 alone, so that one can see that it was used.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![backend::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        ..backend::default_provider()
    }
}

/// No test, but what the test below runs in a process of its own.
#[tokio::test]
#[ignore = "run by the other"]
async fn child() {
    let Ok(url) = std::env::var("URL") else {
        return;
    };
    let mode = std::env::var("MODE").unwrap();
    let mut keys = RemoteKeySet::jwks_url(url).no_proxy();
    if mode == "process" {
        provider().install_default().unwrap();
    }
    if mode != "own" {
        keys = keys.process_crypto_provider();
    }
    match keys.build() {
        Err(error) => println!("said: {error}"),
        Ok(keys) => match keys.ready().await {
            Ok(()) => println!("said: {} keys", keys.health().status().keys),
            Err(error) => println!("said: {error}"),
        },
    }
    assert_eq!(CryptoProvider::get_default().is_some(), mode == "process");
}

/// A server of keys with a certificate by a CA of its own, the file with that, and the suite of each connection.
async fn server() -> (String, PathBuf, mpsc::UnboundedReceiver<CipherSuite>) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = ca.self_signed(&ca_key).unwrap();
    let file = format!("process-provider-{}.pem", std::process::id());
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file);
    let base64 = base64_simd::STANDARD.encode_to_string(certificate.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    std::fs::write(&file, pem).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(backend::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/jwks", listener.local_addr().unwrap());
    let issuer = "https://login.example.com";
    let issuer = tower_bearer::testing::Issuer::new(issuer, Algorithm::EdDSA).unwrap();
    let json = issuer.public_key_set();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{json}",
        json.len()
    );
    let (suites, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let suite = stream
                .get_ref()
                .1
                .negotiated_cipher_suite()
                .unwrap()
                .suite();
            suites.send(suite).ok();
            stream.read_u8().await.ok();
            stream.write_all(answer.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
    });
    (url, file, seen)
}

#[tokio::test]
async fn the_provider_of_the_process_is_used_where_that_is_said_and_no_other_is_installed() {
    let (url, file, mut suites) = server().await;
    for (mode, expected, chacha) in [
        ("own", "1 keys", Some(false)),
        ("process", "1 keys", Some(true)),
        ("none", "install_default", None),
    ] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env_remove("SSL_CERT_DIR")
            .env("SSL_CERT_FILE", &file)
            .env("URL", &url)
            .env("MODE", mode);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        assert!(output.status.success(), "{mode}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        let (_, said) = text.split_once("said: ").expect("an answer");
        let said = said.lines().next().unwrap();
        assert!(said.contains(expected), "{mode}: {said}");
        let suite = suites.try_recv().ok();
        let is_chacha = suite.map(|suite| suite == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
        assert_eq!(is_chacha, chacha, "{mode}: {suite:?}");
    }
    std::fs::remove_file(file).ok();
}
