//! The environment of a process says through which proxy the ready-made client goes. Each test
//! runs in a process of its own, whose environment it sets.

use std::process::{Command, Output};

use super::{
    server::{Does, Server},
    *,
};

/// Runs [`child`] in a process with these variables, and no other that names a proxy.
async fn run(variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "proxy::child", "--ignored", "--nocapture"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command
            .env_remove(name)
            .env_remove(name.to_ascii_lowercase());
    }
    command
        .env_remove("REQUEST_METHOD")
        .envs(variables.iter().copied());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// No test, but what the tests below run in a process of its own: fetches the keys at `URL`, by
/// the proxy that the environment names, or without one if `DIRECT` is set, and says what came of
/// it.
#[tokio::test]
#[ignore = "run by the others"]
#[allow(clippy::print_stdout)]
async fn child() {
    let Ok(url) = std::env::var("URL") else {
        return;
    };
    let mut keys = RemoteKeySet::jwks_url(url).allow_insecure_http();
    if std::env::var_os("DIRECT").is_some() {
        keys = keys.no_proxy();
    }
    let keys = match keys.build() {
        Ok(keys) => keys,
        Err(error) => return println!("said: {error}"),
    };
    match keys.ready().await {
        Ok(()) => println!("said: {} keys", keys.health().status().keys),
        Err(error) => println!("said: {error}"),
    }
    println!("{keys:?} {:?}", keys.health());
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    // The harness of the tests writes on the same line.
    let (_, said) = text.split_once("said: ").expect("an answer");
    said.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used() {
    let signer = signer("a");
    let server = Server::new(Does::answers(&set(&[&signer]))).await;
    let direct = server.url("/jwks");
    let proxy = format!("http://us3r:s3cret@{}", server.address());
    let cgi = ("REQUEST_METHOD", "GET");
    for (of, url, variables, path) in [
        ("none", &*direct, vec![], Some("/jwks")),
        (
            "a proxy",
            "http://keys.example.com/jwks",
            vec![("HTTP_PROXY", &*proxy)],
            Some("http://keys.example.com/jwks"),
        ),
        (
            "in lower case",
            "http://keys.example.com/jwks",
            vec![("http_proxy", &*proxy)],
            Some("http://keys.example.com/jwks"),
        ),
        (
            "for this machine too",
            &direct,
            vec![("ALL_PROXY", &*proxy)],
            Some(&*direct),
        ),
        (
            "unless that is said",
            &direct,
            vec![("HTTP_PROXY", &*proxy), ("NO_PROXY", "127.0.0.1")],
            Some("/jwks"),
        ),
        (
            "for https alone",
            &direct,
            vec![("HTTPS_PROXY", &*proxy)],
            Some("/jwks"),
        ),
        (
            "ignored",
            &direct,
            vec![("HTTP_PROXY", &*proxy), ("DIRECT", "1")],
            Some("/jwks"),
        ),
        (
            "ignored, and wrong",
            &direct,
            vec![("HTTP_PROXY", "us3r:s3cret@:1:1"), ("DIRECT", "1")],
            Some("/jwks"),
        ),
        (
            "of a client of a CGI script",
            &direct,
            vec![("HTTP_PROXY", "http://127.0.0.1:1"), cgi],
            Some("/jwks"),
        ),
        (
            "wrong",
            &direct,
            vec![("HTTP_PROXY", "http://us3r:s3cret@a:99999")],
            None,
        ),
    ] {
        let before = server.paths().len();
        let mut variables = variables;
        variables.push(("URL", url));
        let output = run(&variables).await;
        let said = said(&output);
        let paths = server.paths()[before..].to_vec();
        match path {
            Some(path) => {
                assert_eq!(said, "1 keys", "{of}");
                assert_eq!(paths, [path], "{of}");
            }
            None => {
                assert!(
                    said.contains("HTTP_PROXY is not the URL of a proxy"),
                    "{of}: {said}"
                );
                assert!(paths.is_empty(), "{of}");
            }
        }
        let shown = format!("{output:?}");
        assert!(!shown.contains("s3cret"), "{of}: {shown}");
    }
    // The proxy alone has seen the credentials (`us3r:s3cret`).
    for head in server.requests() {
        let through = head.starts_with("GET http://");
        assert_eq!(head.contains("Basic dXMzcjpzM2NyZXQ="), through, "{head}");
    }
}

/// The tunnel of `CONNECT` is for `https`, and what the proxy answers is not taken for keys.
#[tokio::test]
async fn https_asks_the_proxy_for_a_tunnel() {
    let server = Server::new(Does::says("403 Forbidden", &[], "")).await;
    let proxy = format!("http://us3r:s3cret@{}", server.address());
    let output = run(&[
        ("HTTPS_PROXY", &proxy),
        ("URL", "https://keys.example.com:8443/jwks?key=s3cret"),
    ])
    .await;
    let said = said(&output);
    assert!(
        said.contains("through the proxy http://127.0.0.1:"),
        "{said}"
    );
    assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let start = "CONNECT keys.example.com:8443 HTTP/1.1\r\n";
    assert!(requests[0].starts_with(start), "{requests:?}");
    assert!(!requests[0].contains("jwks"), "{requests:?}");
}
