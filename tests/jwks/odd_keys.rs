//! Attack 32: keys that cannot be used, among some that can.

use super::*;

/// A key of RSA with a modulus of so many bits, that nobody has the private key of.
fn rsa(bits: usize) -> Value {
    let modulus = [&[0xc1], &*vec![0x5b; bits / 8 - 1]].concat();
    let n = base64_simd::URL_SAFE_NO_PAD.encode_to_string(modulus);
    json!({ "kty": "RSA", "kid": "odd", "use": "sig", "alg": "RS256", "n": n, "e": "AQAB" })
}

/// A good key with some members changed; a null takes one out.
fn changed(signer: &Issuer, changes: Value) -> Value {
    let mut key = jwk(signer);
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => _ = key.as_object_mut().unwrap().remove(name),
            value => key[name] = value.clone(),
        }
    }
    key
}

#[tokio::test]
async fn attack_32_one_bad_key_among_good_ones_is_skipped_and_named() {
    let (first, last, odd) = (signer("first"), signer("last"), signer("odd"));
    let ec = Issuer::new(ISSUER, Algorithm::ES256)
        .unwrap()
        .with_key_id("odd");
    let okp = |changes| changed(&odd, changes);
    let p256 = |changes| changed(&ec, changes);
    for (of, key, reason) in [
        (
            "unknown kty",
            okp(json!({ "kty": "AKP" })),
            "`kty` is \"AKP\"",
        ),
        ("no kty", okp(json!({ "kty": null })), "no `kty`"),
        (
            "kty in another case",
            p256(json!({ "kty": "ec" })),
            "`kty` is \"ec\"",
        ),
        (
            "unknown alg",
            okp(json!({ "alg": "ML-DSA-65" })),
            "`alg` is \"ML-DSA-65\"",
        ),
        (
            "alg none",
            okp(json!({ "alg": "none" })),
            "`alg` is \"none\"",
        ),
        (
            "an alg of encryption",
            rsa_with(json!({ "alg": "RSA-OAEP" })),
            "`alg` is \"RSA-OAEP\"",
        ),
        ("another key's alg", okp(json!({ "alg": "RS256" })), ""),
        (
            "HS256 for a public key",
            rsa_with(json!({ "alg": "HS256" })),
            "",
        ),
        (
            "unknown crv",
            okp(json!({ "crv": "Ed448" })),
            "`crv` is \"Ed448\"",
        ),
        (
            "X25519",
            okp(json!({ "crv": "X25519" })),
            "`crv` is \"X25519\"",
        ),
        (
            "secp256k1",
            p256(json!({ "crv": "secp256k1" })),
            "`crv` is \"secp256k1\"",
        ),
        ("no crv", p256(json!({ "crv": null })), "no `crv`"),
        ("use enc", okp(json!({ "use": "enc" })), "`use` is \"enc\""),
        (
            "use is no string",
            okp(json!({ "use": 1 })),
            "`use` is not a string",
        ),
        (
            "key_ops without verify",
            okp(json!({ "key_ops": ["sign"] })),
            "`key_ops` is without",
        ),
        (
            "no key_ops",
            okp(json!({ "key_ops": [] })),
            "`key_ops` is without",
        ),
        (
            "key_ops is no list",
            okp(json!({ "key_ops": "verify" })),
            "`key_ops` is not",
        ),
        ("RSA 1024", rsa(1024), ""),
        ("RSA 2040", rsa(2040), ""),
        ("RSA 16", rsa(16), ""),
        (
            "private",
            okp(json!({ "d": "AAAA" })),
            "the member `d` of a private key",
        ),
        (
            "private RSA",
            rsa_with(json!({ "dp": "AAAA" })),
            "the member `dp` of a private key",
        ),
        (
            "symmetric",
            json!({ "kty": "oct", "kid": "odd", "alg": "HS256", "k": "A".repeat(43) }),
            "a symmetric key",
        ),
        (
            "broken base64",
            okp(json!({ "x": "!" })),
            "`x` is not base64url",
        ),
        (
            "padded base64",
            okp(json!({ "x": "AA==" })),
            "`x` is not base64url",
        ),
        ("no x", okp(json!({ "x": null })), "no `x`"),
        (
            "x is no string",
            okp(json!({ "x": 7 })),
            "`x` is not a string",
        ),
        ("x of another length", okp(json!({ "x": "AAAA" })), ""),
        (
            "a point off the curve",
            p256(json!({ "x": "A".repeat(43), "y": "A".repeat(43) })),
            "",
        ),
        (
            "the point in short",
            p256(json!({ "y": "AAAA" })),
            "`y` of 3 bytes",
        ),
        ("e of 1", rsa_with(json!({ "e": "AQ" })), ""),
        (
            "kid is no string",
            okp(json!({ "kid": 7 })),
            "`kid` is not a string",
        ),
        ("no object", json!("key"), "not a JSON object"),
        ("null", Value::Null, "not a JSON object"),
    ] {
        let source = Source::new(Does::Gives(
            json!({ "keys": [jwk(&first), key, jwk(&last)] }).to_string(),
        ));
        let keys = source.keys().build().unwrap();
        keys.ready().await.expect(of);
        let status = keys.health().status();
        assert_eq!(status.keys, 2, "{of}: {:?}", status.skipped);
        assert_eq!(status.last_error, None, "{of}");
        let [skipped] = &status.skipped[..] else {
            panic!("{of}: {:?}", status.skipped)
        };
        assert_eq!(skipped.index(), 1, "{of}");
        assert!(skipped.reason().starts_with(reason), "{of}: {skipped}");
        let named = key["kid"].as_str();
        assert_eq!(skipped.key_id(), named, "{of}");
        let shown = skipped.to_string();
        for secret in ["x", "n", "d", "k"].map(|name| key[name].as_str().unwrap_or_default()) {
            assert!(secret.len() < 8 || !shown.contains(secret), "{of}: {shown}");
        }

        let verifier = verifier(keys);
        for signer in [&first, &last] {
            assert_eq!(at_once(&verifier, &token(signer)), Said::In, "{of}");
        }
        for signer in [&odd, &ec] {
            let said = ask(&verifier, &token(signer)).await;
            assert_eq!(said, UNKNOWN, "{of}");
        }
    }
}

fn rsa_with(changes: Value) -> Value {
    let mut key = rsa(2048);
    for (name, value) in changes.as_object().unwrap() {
        key[name] = value.clone();
    }
    key
}

/// RFC 7517 §4: what is not understood is ignored.
#[tokio::test]
async fn members_that_are_unknown_do_no_harm() {
    let signer = signer("a");
    for changes in [
        json!({ "x5t#S256": 7, "issued": [], "exp": 1 }),
        json!({ "x5c": ["not looked at"], "x5u": "http://169.254.169.254/" }),
        json!({ "use": "sig" }),
        json!({ "key_ops": ["verify", "sign"] }),
        json!({ "alg": "Ed25519" }),
    ] {
        let key = changed(&signer, changes.clone());
        let json = json!({ "keys": [key], "more": {} }).to_string();
        let keys = Source::new(Does::Gives(json)).keys().build().unwrap();
        keys.ready().await.unwrap();
        let said = at_once(&verifier(keys), &token(&signer));
        assert_eq!(said, Said::In, "{changes}");
    }
}

/// A key without an id may be meant by any token, and is tried.
#[tokio::test]
async fn keys_without_an_id() {
    let (named, nameless) = (signer("named"), signer("nameless"));
    let keys = [jwk(&named), changed(&nameless, json!({ "kid": null }))];
    let source = Source::new(Does::Gives(json!({ "keys": keys }).to_string()));
    let keys = source.keys().build().unwrap();
    keys.ready().await.unwrap();
    let verifier = verifier(keys);
    for (of, token, expected) in [
        ("its own", token(&named), Said::In),
        ("another id", token(&nameless), Said::In),
        (
            "no id, by the key with one",
            token_without_kid(&named),
            Said::In,
        ),
        (
            "no id, by the key without",
            token_without_kid(&nameless),
            Said::In,
        ),
        (
            "no id, by neither",
            token_without_kid(&signer("x")),
            BAD_SIGNATURE,
        ),
        // Its own key's id, but another signature.
        ("forged", token(&signer("named")), BAD_SIGNATURE),
    ] {
        assert_eq!(at_once(&verifier, &token), expected, "{of}");
    }
    assert_eq!(source.count(), 1);
}

/// Two keys of one id, as while it is rotated by someone careless.
#[tokio::test]
async fn keys_with_one_id_are_both_tried() {
    let (one, two) = (signer("a"), signer("a"));
    let source = Source::of(&[&one, &two]);
    let keys = source.keys().build().unwrap();
    keys.ready().await.unwrap();
    let verifier = verifier(keys);
    for _ in 0..2 {
        assert_eq!(at_once(&verifier, &token(&one)), Said::In);
        assert_eq!(at_once(&verifier, &token(&two)), Said::In);
    }
    let said = at_once(&verifier, &token(&signer("a")));
    assert_eq!(said, BAD_SIGNATURE);
}

/// A token costs at most 4 signature checks: the fifth key is not tried.
#[tokio::test]
async fn no_more_than_4_keys_are_tried_for_a_token() {
    let signers: Vec<Issuer> = (0..6).map(|_| signer("a")).collect();
    let source = Source::of(&signers.iter().collect::<Vec<_>>());
    let keys = source.keys().build().unwrap();
    keys.ready().await.unwrap();
    let verifier = verifier(keys);
    for (place, signer) in signers.iter().enumerate() {
        let expected = if place < 4 { Said::In } else { BAD_SIGNATURE };
        for token in [token(signer), token_without_kid(signer)] {
            assert_eq!(at_once(&verifier, &token), expected, "{place}");
        }
    }
}

/// A key is used with the algorithm that it names; and of the list, where there is one.
#[tokio::test]
async fn a_list_of_algorithms_narrows_them() {
    let ed = signer("ed");
    let ec = Issuer::new(ISSUER, Algorithm::ES256)
        .unwrap()
        .with_key_id("ec");
    let keys = Source::of(&[&ed, &ec]).keys().build().unwrap();
    keys.ready().await.unwrap();
    let builder = builder().issuer(ISSUER).audience(AUDIENCE);
    let builder = builder.algorithms([Algorithm::ES256]).remote_keys(keys);
    let verifier = builder.build().unwrap();
    let said = at_once(&verifier, &token(&ed));
    assert_eq!(said, Said::Refused(reason::ALGORITHM_NOT_ALLOWED));
    assert_eq!(at_once(&verifier, &token(&ec)), Said::In);
    let header = json!({ "alg": "ES256", "kid": "ed" });
    let mut claims = claims();
    claims["iss"] = ISSUER.into();
    let confused = ec.token_with_header(&header, &claims).unwrap();
    assert_eq!(at_once(&verifier, &confused), UNKNOWN);
}

/// `null` is as good as absent, and so is a byte order mark (Attack 48).
#[tokio::test(start_paused = true)]
async fn attack_48_null_members_and_a_byte_order_mark() {
    let signer = signer("a");
    let mut key = jwk(&signer);
    for name in ["alg", "use", "key_ops", "x5c", "x5t", "d", "p", "k"] {
        key[name] = Value::Null;
    }
    let text = format!("\u{feff}{}", json!({ "keys": [key], "more": null }));
    let source = Source::new(Does::Gives(text));
    let keys = source
        .keys()
        .fresh_for(Duration::from_secs(60))
        .build()
        .unwrap();
    keys.ready().await.unwrap();
    let health = keys.health();
    let verifier = verifier(keys);
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    let claims = verifier
        .verify(BearerToken::parse(&token(&signer)).unwrap())
        .await
        .unwrap();

    // The same key without them is the same: what rests on it goes on.
    let object = key.as_object_mut().unwrap();
    object.retain(|_, value| !value.is_null());
    source.now(Does::Gives(json!({ "keys": [object] }).to_string()));
    seconds(61).await;
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    assert!(health.status().attempts > 1);
    assert!(claims.is_current(NumericDate::from_secs(NOW)));
}

/// Half of all 32-byte strings are no point of Ed25519. A refresh that brings nothing else keeps
/// the keys that are here (Attack 46).
#[tokio::test(start_paused = true)]
async fn attack_46_a_set_of_keys_that_are_no_points_keeps_the_last_good_set() {
    let signer = signer("a");
    let source = Source::of(&[&signer]);
    let keys = source
        .keys()
        .fresh_for(Duration::from_secs(60))
        .build()
        .unwrap();
    keys.ready().await.unwrap();
    let health = keys.health();
    let verifier = verifier(keys);
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    // y = 2 is not on the curve, y = 1 is of low order, y = p + 1 is not reduced.
    let mut not_reduced = [0xff; 32];
    (not_reduced[0], not_reduced[31]) = (0xee, 0x7f);
    let (mut two, mut one) = ([0; 32], [0; 32]);
    (two[0], one[0]) = (2, 1);
    let odd: Vec<Value> = [two, one, not_reduced, [0xff; 32]]
        .iter()
        .map(|x| {
            let x = base64_simd::URL_SAFE_NO_PAD.encode_to_string(x);
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "alg": "EdDSA", "x": x })
        })
        .collect();
    source.now(Does::Gives(json!({ "keys": odd }).to_string()));
    seconds(61).await;
    let status = health.status();
    assert_eq!(status.last_error.unwrap().reason(), "no_usable_key");
    assert_eq!(status.keys, 1);
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
    // Beside a good key they are skipped, and named.
    let keys: Vec<Value> = odd.into_iter().chain([jwk(&signer)]).collect();
    source.now(Does::Gives(json!({ "keys": keys }).to_string()));
    seconds(120).await;
    let status = health.status();
    assert_eq!((status.keys, status.skipped.len()), (1, 4));
    for skipped in &status.skipped {
        assert!(skipped.reason().contains("Ed25519"), "{skipped}");
    }
    assert_eq!(at_once(&verifier, &token(&signer)), Said::In);
}

/// RFC 8725 §3.1: a key is bound to one algorithm, and one that fits none of the list is skipped
/// and named.
#[tokio::test]
async fn a_key_that_fits_no_algorithm_on_the_list_is_named_in_the_status() {
    let ed = signer("ed");
    let ec = Issuer::new(ISSUER, Algorithm::ES256)
        .unwrap()
        .with_key_id("ec");
    let without_alg = changed(&ec, json!({ "kid": "other", "alg": null }));
    let set = json!({ "keys": [jwk(&ed), rsa(2048), jwk(&ec), rsa(1024), without_alg] });
    let keys = Source::new(Does::Gives(set.to_string()))
        .keys()
        .build()
        .unwrap();
    keys.ready().await.unwrap();
    let health = keys.health();
    let skipped = || -> Vec<(usize, String)> {
        let status = health.status();
        assert_eq!(status.keys + status.skipped.len(), 5);
        let skipped = status.skipped.iter();
        skipped.map(|key| (key.index(), key.to_string())).collect()
    };
    let places = || {
        skipped()
            .into_iter()
            .map(|(place, _)| place)
            .collect::<Vec<_>>()
    };
    assert_eq!(places(), [3]);
    let verifier = |list: &[Algorithm]| {
        let builder = builder().issuer(ISSUER).audience(AUDIENCE);
        let builder = builder.remote_keys(keys.clone());
        builder.algorithms(list.iter().copied()).build().unwrap()
    };
    let only_ed = verifier(&[Algorithm::EdDSA, Algorithm::RS512]);
    assert_eq!(places(), [1, 2, 3, 4]);
    let said = skipped();
    assert_eq!(
        said[0].1,
        "key 1 (\"odd\"): for RS256, which no verifier has on its list of `algorithms`"
    );
    assert!(said[1].1.contains("for ES256"), "{said:?}");
    assert_eq!(at_once(&only_ed, &token(&ed)), Said::In);
    // What another verifier uses is not skipped, for as long as there is that verifier.
    let only_ec = verifier(&[Algorithm::ES256]);
    assert_eq!(places(), [1, 3]);
    drop(only_ec);
    assert_eq!(places(), [1, 2, 3, 4]);
    let all = builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .remote_keys(keys.clone());
    let all = all.build().unwrap();
    assert_eq!(places(), [3]);
    drop((all, only_ed));
    assert_eq!(places(), [3]);
}

/// One key of RSA without `alg`, and a token by each of its algorithms.
#[tokio::test]
async fn a_remote_key_without_alg_is_bound_to_one_algorithm() {
    use Algorithm::{ES256, PS256, PS512, RS256};
    let pem = include_str!("../support/keys/rsa.pem");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64_simd::STANDARD.decode_to_vec(base64).unwrap();
    let signers = [RS256, PS256, PS512].map(|algorithm| {
        let signer = Issuer::from_pkcs8_der(ISSUER, algorithm, &der).unwrap();
        signer.with_key_id("rsa")
    });
    let key = changed(&signers[0], json!({ "alg": null }));
    let set = json!({ "keys": [key] }).to_string();
    let keys = Source::new(Does::Gives(set)).keys().build().unwrap();
    keys.ready().await.unwrap();
    for (list, bound) in [
        (None, RS256),
        (Some(vec![RS256, PS256]), RS256),
        (Some(vec![PS256, RS256]), RS256),
        (Some(vec![ES256, PS512, PS256]), PS512),
    ] {
        let mut builder = builder().issuer(ISSUER).audience(AUDIENCE);
        builder = builder.remote_keys(keys.clone());
        if let Some(list) = &list {
            builder = builder.algorithms(list.iter().copied());
        }
        let verifier = builder.build().unwrap();
        for signer in &signers {
            let said = ask(&verifier, &token(signer)).await;
            let passes = signer.algorithm() == bound;
            assert_eq!(said == Said::In, passes, "{list:?} {said:?}");
        }
    }
}
