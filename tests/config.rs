//! Mistakes in the configuration: an error where they are made, whose message names the mend.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use support::good_token;
use tower_bearer::{BearerAuthLayer, ConfigError, ProblemJson, RequireScopes, TokenSource, exempt};

/// That each of these is refused, with a message that holds `mend` and shows no control character.
#[track_caller]
fn assert_refused<T>(
    values: &[&str],
    mend: &str,
    configure: impl Fn(&str) -> Result<T, ConfigError>,
) {
    for value in values {
        let Err(error) = configure(value) else {
            panic!("{value:?} is accepted");
        };
        let message = error.to_string();
        assert!(message.contains(mend), "{value:?}: {message}");
        assert!(
            !message.contains(char::is_control),
            "{value:?}: {message:?}"
        );
    }
}

#[track_caller]
fn assert_accepted<T>(values: &[&str], configure: impl Fn(&str) -> Result<T, ConfigError>) {
    for value in values {
        assert!(configure(value).is_ok(), "{value:?} is refused");
    }
}

/// attacks.md 21: a realm is a quoted string of visible ASCII (RFC 9110 §5.6.4, §11.5).
#[test]
fn realms() {
    let realm = |realm: &str| BearerAuthLayer::new(good_token()).realm(realm);
    let bad = [
        "",
        "a\r\nSet-Cookie: b",
        "a\tb",
        "a\0b",
        "caf\u{e9}",
        "\u{1f600}",
        "a\u{7f}",
    ];
    assert_refused(
        &bad,
        "use visible ASCII characters and spaces, at least one",
        realm,
    );
    assert_accepted(&["api", "a \"b\" \\c", "~!"], realm);
}

/// RFC 6749 §3.3.
#[test]
fn scopes() {
    let advertised = |scope: &str| BearerAuthLayer::new(good_token()).advertise_scope(scope);
    let mend = "use visible ASCII characters other than `\"` and `\\`, without spaces";
    let bad = [
        "a\"b",
        "a\\b",
        "a\tb",
        "a\r\nb",
        "caf\u{e9}",
        "a\0",
        "a\u{7f}",
    ];
    for (all, word) in [(true, "all"), (false, "any")] {
        let require = move |scope: &str| match all {
            true => RequireScopes::all_of(["read", scope]),
            false => RequireScopes::any_of(["read", scope]),
        };
        assert_refused(&bad, mend, require);
        assert_refused(&["", "read write"], mend, require);
        assert_accepted(&["read", "read:all", "https://example.com/read"], require);
        let none = match all {
            true => RequireScopes::all_of([]),
            false => RequireScopes::any_of([]),
        };
        let message = none.unwrap_err().to_string();
        assert_eq!(
            message, "there is no scope in the list: name at least one",
            "{word}"
        );
    }
    assert_refused(&bad, mend, advertised);
    assert_refused(&["", " ", "read  write", " read"], mend, advertised);
    assert_accepted(&["read", "read write"], advertised);
}

/// RFC 9728 §5.1.
#[test]
fn resource_metadata() {
    let metadata = |url: &str| BearerAuthLayer::new(good_token()).resource_metadata(url);
    let bad = [
        "",
        "/.well-known/oauth-protected-resource",
        "example.com/x",
        "ftp://example.com/",
        "https://",
        "https:///x",
        "https://exa mple.com/",
        "https://example.com/\"",
        "https://example.com/a\\b",
        "https://example.com/\r\n",
        "https://example.com/caf\u{e9}",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com/%zz",
        "https://user:password@example.com/",
        "https://example.com/#a",
        "https://[fe80::1%25eth0]/",
        "https://a[b]/",
    ];
    assert_refused(&bad, "must be absolute, such as https://", metadata);
    for secret in [
        "https://user:s3cret@example.com/",
        "ftp://example.com/?s3cret",
    ] {
        let message = metadata(secret).unwrap_err().to_string();
        assert!(!message.contains("s3cret"), "{message}");
    }
    let good = ["https://example.com/.well-known/oauth-protected-resource/a?b=c"];
    assert_accepted(&good, metadata);
}

/// RFC 9457 §3.1.1, RFC 3986.
#[test]
fn type_bases() {
    let base = |base: &str| ProblemJson::new().type_base(base);
    let bad = [
        "",
        "errors/",
        "/errors/",
        "https",
        "https:",
        ":x",
        "1http://x/",
        "ht tp://x/",
        "https://example.com/a b/",
        "https://example.com/\"/",
        "https://example.com/<>/",
        "https://example.com/%zz/",
        "https://example.com/%2",
        "https://example.com/caf\u{e9}/",
        "https://example.com/\r\n",
        "https://example.com/\\",
        "https://example.com:99999/",
        "https://user@example.com/",
        "https://example.com/[a]/",
        "https://example.com/#a#",
        // The name of a problem would become part of the host or the port.
        "https://example.com",
        "https://example.com:80",
        "https://example.com:",
    ];
    assert_refused(
        &bad,
        "write it as in `https://docs.example.com/errors/`",
        base,
    );
    assert_accepted(
        &[
            "https://docs.example.com/docs/errors/",
            "urn:problem:",
            "tag:example.com,2026:",
            "https://e.x/#",
            "https://e.x/?type=",
            "https://e.x/error-",
        ],
        base,
    );
}

/// RFC 9110 §5.1, RFC 6265 §4.1.1.
#[test]
fn names() {
    let bad = [
        "",
        "a b",
        "a:b",
        "a\"b",
        "a\r\nb",
        "caf\u{e9}",
        "a;b",
        "a=b",
        "a\0b",
    ];
    let header = "cannot be a header name: use letters, digits and `-`";
    assert_refused(&bad, header, TokenSource::header);
    assert_refused(&bad, header, |name| {
        ProblemJson::new().request_id_header(name)
    });
    assert_refused(
        &["authorization", "Authorization"],
        "leave it out",
        TokenSource::header,
    );
    let cookie = "cannot be a cookie's name: use letters, digits, `-` and `_`";
    assert_refused(&bad, cookie, TokenSource::cookie);
    assert_refused(
        &[""],
        "RFC 6750 calls it `access_token`",
        TokenSource::query,
    );
    assert_accepted(&["X-Auth-Token"], TokenSource::header);
    assert_accepted(&["session", "__Host-session"], TokenSource::cookie);
    assert_accepted(&["access_token", "a b", "caf\u{e9}"], TokenSource::query);
}

#[test]
fn exempt_paths() {
    let paths = |path: &str| exempt::paths(&["/healthz", path]).map(drop);
    let bad = [
        "", "*", "healthz", "docs/*", "/docs*", "/*/docs", "/docs/**", "/a*b", "/docs/*/", "\r\n",
    ];
    assert_refused(
        &bad,
        "begin it with `/`, and write `*` only as its last segment",
        paths,
    );
    assert_accepted(&["/", "/*", "/docs/*", "/docs/"], paths);
}

/// An error is one value, to be compared and passed on by `?`.
#[test]
fn the_error_is_a_standard_error() {
    let error = TokenSource::query("").unwrap_err();
    assert_eq!(error, error.clone());
    let boxed: Box<dyn std::error::Error + Send + Sync> = error.into();
    assert!(boxed.source().is_none());
}
