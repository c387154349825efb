//! What is configured wrongly is found when it is made, and the error names the mend.

use std::time::Duration;

use tower_bearer::token_service::{
    AuthorizationServer, AuthorizationServerBuilder, Client, FailureLimit, GrantType,
    InMemoryClients, SecretHash, SigningKeys,
};

use crate::lab::{self, AUDIENCE, ISSUER};

fn builder() -> AuthorizationServerBuilder {
    let client = Client::builder("svc")
        .secret(lab::chosen())
        .build()
        .unwrap();
    AuthorizationServer::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .signing_keys(SigningKeys::generate().unwrap())
        .clients(InMemoryClients::new([client]).unwrap())
        .peer(|_| None)
}

#[test]
fn an_incomplete_or_impossible_server_is_not_built() {
    builder().build().unwrap();
    let second = Duration::from_secs(1);
    let blank = AuthorizationServer::builder;
    for (wrong, mend) in [
        (blank(), "absolute URL"),
        (blank().issuer("login.example.com"), "absolute URL"),
        (blank().issuer("https://login.example.com#a"), "fragment"),
        (blank().issuer("https://login.example.com/?a=b"), "query"),
        (blank().issuer("https://login.example.com\n"), "line break"),
        (
            blank().issuer("\u{feff}https://login.example.com"),
            "byte order mark",
        ),
        (blank().issuer("\"https://login.example.com\""), "quotes"),
        (blank().issuer(ISSUER).audience(" a"), "the audience"),
        (blank().issuer(ISSUER), "`audience`"),
        (blank().issuer(ISSUER).audience(""), "`audience`"),
        (blank().issuer(ISSUER).audience(AUDIENCE), "`signing_keys`"),
        (
            blank()
                .issuer(ISSUER)
                .audience(AUDIENCE)
                .signing_keys(SigningKeys::generate().unwrap()),
            "`clients`",
        ),
        (builder().access_token_lifetime(Duration::ZERO), "24 hours"),
        (
            builder().access_token_lifetime(lab::DAY + second),
            "24 hours",
        ),
        (builder().refresh_token_lifetime(Duration::ZERO), "a year"),
        (
            builder().refresh_token_idle_lifetime(366 * lab::DAY),
            "a year",
        ),
        (builder().refresh_token_grace(61 * second), "60 seconds"),
        (
            builder().failure_limit(FailureLimit {
                per_client: 0,
                per_peer: 1,
            }),
            "1 or more",
        ),
        (builder().body_timeout(Duration::ZERO), "`body_timeout`"),
        (builder().store_timeout(61 * second), "`store_timeout`"),
        (builder().realm("\n"), "realm"),
    ] {
        let error = wrong.build().unwrap_err().to_string();
        assert!(error.contains(mend), "{error}");
    }
}

/// Where it is not known from whom failures come, one peer would lock out all.
#[test]
fn peers_must_be_known_or_failures_unlimited() {
    let client = Client::builder("svc")
        .secret(lab::chosen())
        .build()
        .unwrap();
    let builder = || {
        AuthorizationServer::builder()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .signing_keys(SigningKeys::generate().unwrap())
            .clients(InMemoryClients::new([client.clone()]).unwrap())
    };
    let error = builder().build().unwrap_err().to_string();
    assert!(
        error.contains("`peer`") && error.contains("`unlimited_failures`"),
        "{error}"
    );
    builder().unlimited_failures().build().unwrap();
}

#[test]
fn a_client_that_makes_no_sense_is_not_built() {
    let client = || Client::builder("svc").secret(lab::chosen());
    client().build().unwrap();
    let (_, generated) = SecretHash::generate().unwrap();
    for (wrong, mend) in [
        (Client::builder("svc"), "needs a secret"),
        (Client::builder("svc"), "Client::public"),
        (
            Client::public("spa").secret(lab::chosen()),
            "Client::builder",
        ),
        (
            Client::public("spa").grant_types([GrantType::ClientCredentials]),
            "client credentials",
        ),
        (
            client().secret(generated.clone()).secret(generated),
            "or two",
        ),
        (Client::builder("").secret(lab::chosen()), "visible ASCII"),
        (
            Client::builder("\u{fc}").secret(lab::chosen()),
            "visible ASCII",
        ),
        (client().scope("read\u{fc}"), "scope"),
        (client().scope("read  write"), "scope"),
        (client().subject(""), "empty"),
        (client().audience(""), "empty"),
        (
            client().access_token_lifetime(Duration::from_millis(10)),
            "24 hours",
        ),
        (client().refresh_token_lifetime(Duration::ZERO), "a year"),
    ] {
        let error = wrong.build().unwrap_err().to_string();
        assert!(error.contains(mend), "{error}");
    }
    let twice = [client().build().unwrap(), client().build().unwrap()];
    assert!(
        InMemoryClients::new(twice)
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
}

/// Attack 48: what is a URL is decided as for key sets and challenges.
#[test]
fn an_issuer_or_an_endpoint_that_is_no_url_is_rejected() {
    let server = builder().build().unwrap();
    for url in [
        "https://login.example.com:99999/",
        "https://login.example.com:0/",
        "https://login.example.com/\u{fc}",
        "https://login.example.com/%zz",
        "https://login.example.com/a b",
        "https://login.example.com/\r\n",
        "https://user:s3cret@login.example.com/",
        "https:///path",
        "urn:example:issuer",
    ] {
        let metadata = || server.metadata();
        for error in [
            builder().issuer(url).build().unwrap_err(),
            metadata().token_endpoint(url).unwrap_err(),
            metadata().jwks_uri(url).unwrap_err(),
            metadata().revocation_endpoint(url).unwrap_err(),
            metadata().service_documentation(url).unwrap_err(),
        ] {
            let error = error.to_string();
            let says_why = error.contains("absolute URL") || error.contains("line break");
            assert!(says_why, "{error}");
            let unfit = error.contains("s3cret") || error.contains(char::is_control);
            assert!(!unfit, "{error}");
        }
    }
}

/// Attack 48: an audience that no token can hold.
#[test]
fn a_client_with_an_audience_that_no_token_can_hold_is_not_built() {
    for audience in [" a", "a\n", "\u{feff}a", "\"a\""] {
        let client = Client::builder("svc")
            .secret(lab::chosen())
            .audience(audience);
        let error = client.build().unwrap_err().to_string();
        assert!(error.contains("audience"), "{audience:?}: {error}");
    }
}
