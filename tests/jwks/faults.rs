//! Attacks 30 and 31 with a real server, by the client of the crate: it hangs, trickles, dies, rotates its
//! keys, goes down and comes back.

use futures_util::future::join_all;

use super::{
    server::{Does, Server, head},
    *,
};

/// Short, for what never comes.
const SHORT: Duration = Duration::from_secs(1);

/// All the ways not to come to an end.
fn endless(keys: &str) -> Vec<(&'static str, Does)> {
    let length = format!("content-length: {}", keys.len());
    let whole = [head("200 OK", &[&length]), keys.as_bytes().to_vec()].concat();
    vec![
        ("says nothing", Does::Hangs(Vec::new())),
        ("half a head", Does::Hangs(whole[..20].to_vec())),
        ("no body", Does::Hangs(head("200 OK", &[&length]))),
        (
            "half a body",
            Does::Hangs(whole[..whole.len() - 1].to_vec()),
        ),
        ("trickles", Does::Trickles(whole)),
        (
            "trickles without end",
            Does::Trickles([head("200 OK", &[]), vec![b' '; 200_000]].concat()),
        ),
    ]
}

#[tokio::test]
async fn attack_30_a_server_that_hangs() {
    let (known, unknown) = (signer("a"), signer("b"));
    let good = Does::answers(&set(&[&known]));
    let cases = endless(&set(&[&known, &unknown]));
    let (known, unknown) = (&*token(&known), &*token(&unknown));
    let run = |(of, does)| {
        let good = good.clone();
        async move {
            let server = Server::new(good).await;
            let keys = server.keys().timeout(SHORT).cooldown(Duration::ZERO);
            let keys = keys.build().unwrap();
            let verifier = verifier(keys.clone());
            // The first fetch may take its time on a busy machine.
            while keys.ready().await.is_err() {}
            server.now(does);

            let before = server.connections().begun;
            let begun = std::time::Instant::now();
            let many: Vec<_> = (0..50).map(|_| waits(&verifier, unknown)).collect();
            server.until(|seen| seen.asked > before).await;
            assert_eq!(at_once(&verifier, known), Said::In, "{of}");
            for verdict in join_all(many).await {
                let said = Said::of(verdict);
                assert!(said.is_unavailable(), "{of}: {said:?}");
            }
            assert!(begun.elapsed() >= SHORT, "{of}");
            let error = keys.health().status().last_error.expect(of);
            assert_eq!(error.reason(), "timeout", "{of}: {error}");
            assert_eq!(server.connections().begun, before + 1, "{of}");
            // The connection is not left open.
            server.until(|seen| seen.ended == before + 1).await;
            assert_eq!(at_once(&verifier, known), Said::In, "{of}");
        }
    };
    join_all(cases.into_iter().map(run)).await;
}

/// The client that began to wait is gone; the fetch is not.
#[tokio::test]
async fn attack_30_a_client_that_goes_away() {
    let signer = signer("a");
    let server = Server::new(Does::answers(&set(&[&signer]))).await;
    let keys = server.keys().build().unwrap();
    let verifier = verifier(keys.clone());
    drop(waits(&verifier, &token(&signer)));
    server.until(|connections| connections.asked == 1).await;
    keys.ready().await.unwrap();
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    assert_eq!(server.connections().begun, 1);
}

/// Nobody listens there, and then somebody does.
#[tokio::test]
async fn attack_31_a_server_that_comes_back() {
    let signer = signer("a");
    let first = Server::new(Does::answers("")).await;
    let (address, keys) = (first.address(), first.keys().build().unwrap());
    drop(first);
    let verifier = verifier(keys.clone());
    let said = ask(&verifier, &token(&signer)).await;
    assert!(said.is_unavailable(), "{said:?}");
    let error = keys.health().status().last_error.unwrap();
    assert_eq!(error.reason(), "connection", "{error}");

    let server = Server::at(address, Does::answers(&set(&[&signer]))).await;
    // The next attempt comes by itself.
    while keys.ready().await.is_err() {}
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);

    // It goes again, and the keys stay.
    drop(server);
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    assert_eq!(at_once(&verifier, &token_without_kid(&signer)), Said::In);
}

/// It dies in the middle of an answer, and is back with the next.
#[tokio::test]
async fn attack_31_a_server_that_dies_mid_body() {
    let signer = signer("a");
    let keys = set(&[&signer]);
    let length = format!("content-length: {}", keys.len());
    let half = [head("200 OK", &[&length]), keys.as_bytes()[..20].to_vec()].concat();
    let server = Server::new(Does::Sends(half)).await;
    let set = server.keys().build().unwrap();
    let verifier = verifier(set.clone());
    assert!(ask(&verifier, &token(&signer)).await.is_unavailable());
    server.now(Does::answers(&keys));
    while set.ready().await.is_err() {}
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
}

#[tokio::test]
async fn keys_are_rotated() {
    let server = Server::new(Does::answers("")).await;
    let mut signers = vec![signer("0")];
    server.now(Does::answers(&set(&[&signers[0]])));
    let keys = server.keys().cooldown(Duration::ZERO).build().unwrap();
    let cached = tower_bearer::Cached::builder(verifier(keys))
        .clock(clock())
        .build()
        .unwrap();
    assert_eq!(ask(&cached, &token(&signers[0])).await, Said::In);
    for n in 1..10 {
        let new = signer(&n.to_string());
        let [.., old] = &signers[..] else {
            unreachable!()
        };
        server.now(Does::answers(&set(&[old, &new])));
        assert_eq!(ask(&cached, &token(&new)).await, Said::In);
        assert_eq!(at_once(&cached, &token(old)), Said::In);
        for gone in &signers[..signers.len() - 1] {
            assert_eq!(ask(&cached, &token(gone)).await, UNKNOWN);
        }
        signers.push(new);
    }
}

/// By its ETag, on the wire.
#[tokio::test]
async fn a_304_on_the_wire() {
    let (signer, unknown) = (signer("a"), signer("b"));
    let server = Server::new(Does::says("200 OK", &["etag: \"v1\""], &set(&[&signer]))).await;
    let keys = server.keys().cooldown(Duration::ZERO).build().unwrap();
    let verifier = verifier(keys.clone());
    assert_eq!(ask(&verifier, &token(&signer)).await, Said::In);
    server.now(Does::Sends(head("304 Not Modified", &["etag: \"v1\""])));
    assert_eq!(ask(&verifier, &token(&unknown)).await, UNKNOWN);
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    let status = keys.health().status();
    assert_eq!((status.attempts, status.failures, status.keys), (2, 0, 1));
    let [first, second] = &server.requests()[..] else {
        panic!("{:?}", server.requests())
    };
    let (first, second) = (first.to_ascii_lowercase(), second.to_ascii_lowercase());
    assert!(first.starts_with("get /jwks http/1.1\r\n"), "{first}");
    assert!(!first.contains("if-none-match"), "{first}");
    assert!(second.contains("if-none-match: \"v1\"\r\n"), "{second}");
    for head in [first, second] {
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
    }
}

/// A small set in a large answer, at the edge of what is read.
#[tokio::test]
async fn as_much_as_256_kib_is_read() {
    let signer = signer("a");
    for (bytes, ok) in [(256 * 1024, true), (256 * 1024 + 1, false)] {
        let mut keys = set(&[&signer]);
        keys.push_str(&" ".repeat(bytes - keys.len()));
        let unknown_length = [head("200 OK", &[]), keys.clone().into_bytes()].concat();
        for does in [Does::answers(&keys), Does::Sends(unknown_length)] {
            let server = Server::new(does).await;
            let ready = server.keys().build().unwrap().ready().await;
            assert_eq!(ready.is_ok(), ok, "{bytes}: {ready:?}");
        }
    }
    for (count, ok) in [(100, true), (101, false)] {
        let keys = vec![jwk(&signer); count];
        let server = Server::new(Does::answers(&json!({ "keys": keys }).to_string())).await;
        let ready = server.keys().build().unwrap().ready().await;
        assert_eq!(ready.is_ok(), ok, "{count} keys: {ready:?}");
    }
}
