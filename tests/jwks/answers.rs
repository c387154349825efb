//! Attack 32: answers that are no key set, from a real server, by the client of the crate.

use super::{
    server::{Does, Server, head},
    *,
};

const MEGABYTE: usize = 1024 * 1024;

/// 10 MB of spaces, with gzip: a thousandth of it.
fn gzip_bomb() -> Vec<u8> {
    // Stored blocks would not be one; these are copies of the byte before, 258 at a time, in the fixed
    // code of RFC 1951 §3.2.6: a literal space, then `length 258, distance 1`, and an end of block.
    let mut bits: Vec<bool> = vec![true, true, false];
    let mut code = |value: u32, length: u32| {
        for bit in (0..length).rev() {
            bits.push(value >> bit & 1 == 1);
        }
    };
    code(0x30 + 0x20, 8);
    for _ in 0..10 * MEGABYTE / 258 {
        code(0b1100_0101, 8);
        code(0, 5);
    }
    code(0, 7);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for eight in bits.chunks(8) {
        let byte = eight
            .iter()
            .enumerate()
            .map(|(at, bit)| u8::from(*bit) << at);
        bytes.push(byte.sum());
    }
    // A checksum, which no one gets to see, and the length.
    bytes.extend([0; 8]);
    bytes
}

fn with_body(head: Vec<u8>, body: &[u8]) -> Does {
    Does::Sends([&head, body].concat())
}

/// What a server may answer with instead of keys, and the reason that is given for it.
fn bad_answers(sink: &Server) -> Vec<(&'static str, Does, &'static str)> {
    let signer = signer("a");
    let many = |count| {
        let keys = vec![jwk(&signer); count];
        json!({ "keys": keys }).to_string()
    };
    let small_keys = json!({ "keys": vec![json!({}); 100_000] }).to_string();
    let to = |status: &str, location: &str| {
        let location = format!("location: {location}");
        Does::says(status, &[&location], &set(&[&signer]))
    };
    let here = sink.url("/jwks");
    let chunk = [
        format!("{MEGABYTE:x}\r\n").into_bytes(),
        vec![b' '; MEGABYTE],
        b"\r\n".to_vec(),
    ];
    let chunk = chunk.concat();
    let chunked = || head("200 OK", &["transfer-encoding: chunked"]);
    let bomb = gzip_bomb();
    assert!(bomb.len() < 80 * 1024);
    let gzip = |coding: &str| {
        let length = format!("content-length: {}", bomb.len());
        let coding = format!("content-encoding: {coding}");
        with_body(head("200 OK", &[&length, &coding]), &bomb)
    };
    let length = format!("content-length: {}", 50 * MEGABYTE);
    let keys = set(&[&signer]);
    let half = &keys.as_bytes()[..keys.len() / 2];
    let whole = format!("content-length: {}", keys.len());

    vec![
        ("301", to("301 Moved Permanently", &here), "redirect"),
        ("302", to("302 Found", &here), "redirect"),
        ("303", to("303 See Other", &here), "redirect"),
        ("307", to("307 Temporary Redirect", &here), "redirect"),
        ("308", to("308 Permanent Redirect", &here), "redirect"),
        (
            "a redirect to link-local",
            to("302 Found", "http://169.254.169.254/latest/meta-data/"),
            "redirect",
        ),
        (
            "a redirect to a file",
            to("302 Found", "file:///etc/passwd"),
            "redirect",
        ),
        ("300", to("300 Multiple Choices", &here), "redirect"),
        ("201", Does::says("201 Created", &[], &keys), "status"),
        ("204", Does::Sends(head("204 No Content", &[])), "status"),
        (
            "206",
            Does::says("206 Partial Content", &[], &keys),
            "status",
        ),
        ("304", Does::Sends(head("304 Not Modified", &[])), "status"),
        ("401", Does::says("401 Unauthorized", &[], &keys), "status"),
        ("404", Does::says("404 Not Found", &[], &keys), "status"),
        (
            "429",
            Does::says("429 Too Many Requests", &[], ""),
            "status",
        ),
        (
            "500",
            Does::says("500 Internal Server Error", &[], &keys),
            "status",
        ),
        (
            "an endless 500",
            Does::Repeats(
                head("500 Oh", &["transfer-encoding: chunked"]),
                chunk.clone(),
                u64::MAX,
            ),
            "status",
        ),
        (
            "50 MB that are only said to come",
            Does::Hangs(head("200 OK", &[&length])),
            "too_large",
        ),
        (
            "50 MB that say so",
            Does::Repeats(head("200 OK", &[&length]), vec![b' '; MEGABYTE], 50),
            "too_large",
        ),
        (
            "50 MB that do not",
            Does::Repeats(head("200 OK", &[]), vec![b' '; MEGABYTE], 50),
            "too_large",
        ),
        (
            "endless",
            Does::Repeats(chunked(), chunk, u64::MAX),
            "too_large",
        ),
        (
            "endless, in chunks of one byte",
            Does::Repeats(chunked(), b"1\r\n \r\n".repeat(10_000), u64::MAX),
            "too_large",
        ),
        (
            "an endless head",
            Does::Repeats(
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                b"x-more: more\r\n".repeat(10_000),
                u64::MAX,
            ),
            "connection",
        ),
        ("a gzip bomb", gzip("gzip"), "content_encoding"),
        ("in another case", gzip("GZIP"), "content_encoding"),
        ("a bomb by another name", gzip("br"), "content_encoding"),
        (
            "a gzip bomb that does not say so",
            gzip("identity"),
            "unreadable",
        ),
        ("100 000 keys", Does::answers(&small_keys), "too_large"),
        (
            "more than 100 keys",
            Does::answers(&many(101)),
            "unreadable",
        ),
        (
            "HTML",
            Does::says(
                "200 OK",
                &["content-type: text/html"],
                "<html><body>Sign in</body></html>",
            ),
            "unreadable",
        ),
        ("nothing", Does::answers(""), "unreadable"),
        (
            "no UTF-8",
            with_body(head("200 OK", &["content-length: 1"]), b"\xff"),
            "unreadable",
        ),
        ("a list", Does::answers("[]"), "unreadable"),
        ("another object", Does::answers("{}"), "unreadable"),
        (
            "a key",
            Does::answers(&jwk(&signer).to_string()),
            "unreadable",
        ),
        (
            "`keys` is no list",
            Does::answers(r#"{"keys":{}}"#),
            "unreadable",
        ),
        (
            "`keys` twice",
            Does::answers(&keys.replace("{\"keys\"", "{\"keys\":[],\"keys\"")),
            "unreadable",
        ),
        ("nested", Does::answers(&"[".repeat(100_000)), "unreadable"),
        ("no keys", Does::answers(r#"{"keys":[]}"#), "no_usable_key"),
        (
            "a key that is none",
            Does::answers(r#"{"keys":[7]}"#),
            "no_usable_key",
        ),
        (
            "half a body",
            with_body(head("200 OK", &[&whole]), half),
            "connection",
        ),
        (
            "half a chunk",
            with_body(chunked(), b"ff\r\n{\"keys\""),
            "connection",
        ),
        (
            "half a JSON text",
            with_body(head("200 OK", &[]), half),
            "unreadable",
        ),
        (
            "no HTTP",
            Does::Sends(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
            "connection",
        ),
        ("no word", Does::Sends(Vec::new()), "connection"),
    ]
}

/// From start: no keys, and 503.
#[tokio::test]
async fn attack_32_what_is_no_key_set_is_a_failure() {
    let sink = Server::new(Does::answers(&set(&[&signer("a")]))).await;
    for (of, does, expected) in bad_answers(&sink) {
        let server = Server::new(does).await;
        let keys = server.keys().build().unwrap();
        let (verifier, health) = (verifier(keys.clone()), keys.health());
        let said = ask(&verifier, &token(&signer("a"))).await;
        let status = health.status();
        let error = status.last_error.clone().expect(of);
        assert_eq!(error.reason(), expected, "{of}: {error}");
        assert!(said.is_unavailable(), "{of}: {said:?}");
        assert!(!status.is_ready(), "{of}");
        // What is said of it is fit for a log line.
        assert!(error.to_string().len() < 400, "{of}: {error}");
        // It was left alone when it had said enough, and asked for nothing else.
        drop((keys, verifier));
        server.until(|seen| seen.ended == seen.begun).await;
        assert!(server.paths().iter().all(|path| path == "/jwks"), "{of}");
        let limit = 16 * MEGABYTE as u64;
        assert!(server.sent() < limit, "{of}: {} bytes", server.sent());
    }
    assert_eq!(sink.connections().begun, 0, "a redirect was followed");
}

/// Later: the last good set is kept.
#[tokio::test]
async fn attack_32_what_is_no_key_set_never_replaces_one() {
    let sink = Server::new(Does::answers(&set(&[&signer("a")]))).await;
    let (known, unknown) = (signer("a"), signer("b"));
    let good = Does::answers(&set(&[&known]));
    for (of, does, expected) in bad_answers(&sink) {
        let server = Server::new(good.clone()).await;
        let keys = server.keys().cooldown(Duration::ZERO).build().unwrap();
        keys.ready().await.unwrap();
        let (verifier, health) = (verifier(keys.clone()), keys.health());
        server.now(does);
        // Waited for, by a token whose key might be among those that come; not by the others.
        let verdict = waits(&verifier, &token(&unknown));
        assert_eq!(at_once(&verifier, &token(&known)), Said::In, "{of}");
        let said = Said::of(verdict.await);
        let status = health.status();
        let error = status.last_error.clone().expect(of);
        assert_eq!(error.reason(), expected, "{of}: {error}");
        assert!(said.is_unavailable(), "{of}: {said:?}");
        assert_eq!((status.attempts, status.failures), (2, 1), "{of}");
        assert!(status.is_ready() && !status.stale, "{of}");
        assert_eq!(at_once(&verifier, &token(&known)), Said::In, "{of}");
    }
    assert_eq!(sink.connections().begun, 0, "a redirect was followed");
}

/// Attack 48: codings that are none, by the list of RFC 9110 §5.6.1.2 and §8.4.
#[tokio::test]
async fn attack_48_a_coding_that_is_none_is_no_failure() {
    let signer = signer("a");
    for lines in [
        &["content-encoding:"][..],
        &["content-encoding: identity"],
        &["content-encoding: ,Identity , ,"],
        &["content-encoding: ", "content-encoding: IDENTITY"],
    ] {
        let server = Server::new(Does::says("200 OK", lines, &set(&[&signer]))).await;
        let keys = server.keys().build().unwrap();
        assert_eq!(keys.ready().await, Ok(()), "{lines:?}");
    }
    for lines in [
        &["content-encoding: identity, gzip"][..],
        &["content-encoding:", "content-encoding: br"],
        &["content-encoding: x"],
    ] {
        let server = Server::new(Does::says("200 OK", lines, &set(&[&signer]))).await;
        let error = server.keys().build().unwrap().ready().await.unwrap_err();
        assert_eq!(error.reason(), "content_encoding", "{lines:?}");
    }
}
