//! OpenID Connect Discovery and RFC 8414: where the keys are said to be, and whether that is believed.

use super::{
    server::{Does, Server},
    *,
};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

fn metadata(issuer: &str, jwks_uri: &str) -> Does {
    let json = json!({ "issuer": issuer, "jwks_uri": jwks_uri, "token_endpoint": "x" });
    Does::answers(&json.to_string())
}

/// A server with keys, for which nothing else is found.
async fn server(signer: &Issuer) -> Server {
    let server = Server::new(Does::says("404 Not Found", &[], "")).await;
    server.at_path("/jwks", Does::answers(&set(&[signer])));
    server
}

fn verifier_of(issuer: &str, keys: RemoteKeySet) -> JwtVerifier {
    let builder = builder().issuer(issuer).audience(AUDIENCE);
    builder.remote_keys(keys).build().unwrap()
}

#[tokio::test]
async fn the_keys_are_found() {
    for (of, path, at, asked) in [
        ("OpenID", "", OPENID.to_owned(), vec![OPENID.to_owned()]),
        (
            "OpenID, after the path",
            "/realms/a",
            format!("/realms/a{OPENID}"),
            vec![format!("/realms/a{OPENID}")],
        ),
        (
            "a slash at the end",
            "/realms/a/",
            format!("/realms/a{OPENID}"),
            vec![format!("/realms/a{OPENID}")],
        ),
        (
            "RFC 8414",
            "",
            OAUTH.to_owned(),
            vec![OPENID.to_owned(), OAUTH.to_owned()],
        ),
        (
            "RFC 8414, before the path",
            "/realms/a",
            format!("{OAUTH}/realms/a"),
            vec![format!("/realms/a{OPENID}"), format!("{OAUTH}/realms/a")],
        ),
    ] {
        let server = server(&signer("x")).await;
        let issuer = server.url(path);
        let signer = Issuer::new(&issuer, Algorithm::EdDSA).unwrap();
        server.at_path("/jwks", Does::answers(&set(&[&signer])));
        server.at_path(&at, metadata(&issuer, &server.url("/jwks")));
        let keys = RemoteKeySet::discover(&issuer).no_proxy().build().unwrap();
        keys.ready().await.expect(of);
        let said = at_once(&verifier_of(&issuer, keys), &token(&signer));
        assert_eq!(said, Said::In, "{of}");
        let mut expected = asked;
        expected.push("/jwks".to_owned());
        assert_eq!(server.paths(), expected, "{of}");
    }
}

/// Read anew with each fetch: an issuer may move its keys.
#[tokio::test]
async fn the_keys_have_moved() {
    let server = server(&signer("x")).await;
    let issuer = server.url("");
    let [old, new] = ["a", "b"].map(|key_id| {
        let signer = Issuer::new(&issuer, Algorithm::EdDSA).unwrap();
        signer.with_key_id(key_id)
    });
    // The same ETag at both places, for which only the first is asked.
    let etag = |signer| Does::says("200 OK", &["etag: \"1\""], &set(&[signer]));
    server.at_path("/jwks", etag(&old));
    server.at_path("/moved", etag(&new));
    server.at_path(OPENID, metadata(&issuer, &server.url("/jwks")));
    let keys = RemoteKeySet::discover(&issuer)
        .no_proxy()
        .cooldown(Duration::ZERO);
    let verifier = verifier_of(&issuer, keys.build().unwrap());
    assert_eq!(ask(&verifier, &token(&old)).await, Said::In);
    assert_eq!(ask(&verifier, &token(&new)).await, UNKNOWN);
    server.at_path(OPENID, metadata(&issuer, &server.url("/moved")));
    assert_eq!(ask(&verifier, &token(&new)).await, Said::In);
    assert_eq!(ask(&verifier, &token(&old)).await, UNKNOWN);
    let requests = server.requests();
    let jwks: Vec<_> = requests
        .iter()
        .filter(|head| !head.contains("well-known"))
        .collect();
    let asks = |head: &str| head.to_ascii_lowercase().contains("if-none-match: \"1\"");
    let by: Vec<_> = jwks.iter().map(|head| asks(head)).collect();
    assert_eq!(by, [false, true, false, true], "{requests:?}");
}

#[tokio::test]
async fn attack_32_metadata_that_is_not_believed() {
    let sink = Server::new(Does::answers(&set(&[&signer("a")]))).await;
    let link_local = "http://169.254.169.254/latest/meta-data/";
    type Make = Box<dyn Fn(&Server) -> Does>;
    let names = |jwks_uri: Value| -> Make {
        Box::new(move |server| {
            let json = json!({ "issuer": server.url(""), "jwks_uri": jwks_uri });
            Does::answers(&json.to_string())
        })
    };
    let is_of = |issuer: fn(&Server) -> Value| -> Make {
        Box::new(move |server| {
            let json = json!({ "issuer": issuer(server), "jwks_uri": server.url("/jwks") });
            Does::answers(&json.to_string())
        })
    };
    let fixed = |does: Does| -> Make { Box::new(move |_| does.clone()) };
    let redirect = |to: &str| Does::says("302 Found", &[&format!("location: {to}")], "");
    let cases: Vec<(&str, Make, &str)> = vec![
        (
            "another issuer",
            is_of(|_| ISSUER.into()),
            "issuer_mismatch",
        ),
        (
            "a slash more",
            is_of(|server| server.url("/").into()),
            "issuer_mismatch",
        ),
        (
            "a path more",
            is_of(|server| server.url("/a").into()),
            "issuer_mismatch",
        ),
        (
            "another case",
            is_of(|server| server.url("").replace("http:", "HTTP:").into()),
            "issuer_mismatch",
        ),
        ("no issuer", is_of(|_| Value::Null), "metadata_unreadable"),
        (
            "issuers",
            is_of(|server| json!([server.url("")])),
            "metadata_unreadable",
        ),
        ("no jwks_uri", names(Value::Null), "metadata_unreadable"),
        (
            "jwks_uri is no string",
            names(json!({})),
            "metadata_unreadable",
        ),
        (
            "jwks_uri is no URL",
            names("/jwks".into()),
            "metadata_unreadable",
        ),
        (
            "jwks_uri is a file",
            names("file:///etc/passwd".into()),
            "metadata_unreadable",
        ),
        (
            "jwks_uri by http",
            names("http://example.com/".into()),
            "metadata_unreadable",
        ),
        (
            "link-local",
            names(link_local.into()),
            "metadata_unreadable",
        ),
        (
            "user information",
            names("https://a:b@example.com/".into()),
            "metadata_unreadable",
        ),
        (
            "a port that does not exist",
            names("https://127.0.0.1:99999/jwks".into()),
            "metadata_unreadable",
        ),
        (
            "port 0",
            names("http://127.0.0.1:0/jwks".into()),
            "metadata_unreadable",
        ),
        (
            "no ASCII",
            names("https://example.com/j\u{fc}ks".into()),
            "metadata_unreadable",
        ),
        (
            "no escape",
            names("https://example.com/%zz".into()),
            "metadata_unreadable",
        ),
        (
            "a space",
            names("https://example.com/j wks".into()),
            "metadata_unreadable",
        ),
        (
            "a line break",
            names("https://example.com/jwks\r\n".into()),
            "metadata_unreadable",
        ),
        (
            "a backslash",
            names("https://example.com\\@127.0.0.1/".into()),
            "metadata_unreadable",
        ),
        (
            "a fragment",
            names("https://example.com/jwks#a".into()),
            "metadata_unreadable",
        ),
        (
            "a zone of IPv6",
            names("https://[fe80::1%25eth0]/jwks".into()),
            "metadata_unreadable",
        ),
        (
            "HTML",
            fixed(Does::answers("<html>")),
            "metadata_unreadable",
        ),
        ("a list", fixed(Does::answers("[]")), "metadata_unreadable"),
        ("500", fixed(Does::says("500 Oh", &[], "")), "status"),
        ("a redirect", fixed(redirect(&sink.url("/"))), "redirect"),
        (
            "a redirect to link-local",
            fixed(redirect(link_local)),
            "redirect",
        ),
        (
            "a redirect on the way to the keys",
            Box::new({
                let to = redirect(&sink.url("/"));
                move |server| {
                    server.at_path("/jwks", to.clone());
                    metadata(&server.url(""), &server.url("/jwks"))
                }
            }),
            "redirect",
        ),
        (
            "too large",
            fixed(Does::Repeats(
                server::head("200 OK", &[]),
                vec![b' '; 1024 * 1024],
                50,
            )),
            "too_large",
        ),
        (
            "nowhere",
            fixed(Does::says("404 Not Found", &[], "")),
            "status",
        ),
    ];
    for (of, make, expected) in cases {
        let server = server(&signer("a")).await;
        let does = make(&server);
        server.at_path(OPENID, does);
        let keys = RemoteKeySet::discover(server.url(""))
            .no_proxy()
            .build()
            .unwrap();
        let error = keys.ready().await.expect_err(of);
        assert_eq!(error.reason(), expected, "{of}: {error}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
        let fetched = server.paths().iter().any(|path| path == "/jwks");
        assert_eq!(fetched, of.contains("the way to the keys"), "{of}");
        let falls_back = server.paths().iter().any(|path| path == OAUTH);
        assert_eq!(falls_back, of == "nowhere", "{of}");
    }
    assert_eq!(sink.connections().begun, 0, "a redirect was followed");
}

/// The time limit is that of the whole fetch, and not of each request.
#[tokio::test(start_paused = true)]
async fn discovery_and_keys_share_one_timeout() {
    let client = tower::service_fn(|request: http::Request<()>| async move {
        seconds(3).await;
        let json = match request.uri().path() {
            OPENID => json!({ "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks") }),
            _ => json!({ "keys": [] }),
        };
        let body = http_body_util::Full::<bytes::Bytes>::from(json.to_string());
        Ok::<_, std::io::Error>(http::Response::new(body))
    });
    let keys = RemoteKeySet::discover(ISSUER)
        .client(client)
        .build()
        .unwrap();
    let begun = Instant::now();
    assert_eq!(keys.ready().await.unwrap_err().reason(), "timeout");
    assert_about(begun.elapsed(), 5, "both");
}
