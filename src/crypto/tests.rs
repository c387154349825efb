//! Every question is put to every backend that is compiled in, and they must agree.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::fmt;

use super::{verifying::Verifying, *};
use crate::algorithm::Algorithm;

mod odd_keys;
#[cfg(feature = "_signing")]
mod odd_private_keys;
#[cfg(feature = "_signing")]
mod odd_signatures;
mod vectors;
#[cfg(feature = "token-service")]
mod written_keys;

/// Why every backend refuses the key, if they do.
fn refusal(algorithm: Algorithm, material: &Material<'_>) -> Option<KeyError> {
    agreed(&[
        #[cfg(feature = "aws-lc-rs")]
        Verifying::<aws_lc::PublicKey>::new(algorithm, material).err(),
        #[cfg(feature = "rust-crypto")]
        Verifying::<rust_crypto::PublicKey>::new(algorithm, material).err(),
    ])
}

/// Whether every backend takes the signature.
fn holds(algorithm: Algorithm, material: &Material<'_>, message: &[u8], signature: &[u8]) -> bool {
    agreed(&[
        #[cfg(feature = "aws-lc-rs")]
        Verifying::<aws_lc::PublicKey>::new(algorithm, material)
            .unwrap()
            .verify(message, signature),
        #[cfg(feature = "rust-crypto")]
        Verifying::<rust_crypto::PublicKey>::new(algorithm, material)
            .unwrap()
            .verify(message, signature),
    ])
}

fn agreed<T: Copy + PartialEq + fmt::Debug>(answers: &[T]) -> T {
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "the backends differ: {answers:?}"
    );
    answers[0]
}

fn decode(text: &str) -> Vec<u8> {
    base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).unwrap()
}

/// The curve that an algorithm has its own.
fn curve_of(algorithm: Algorithm) -> Curve {
    [Curve::P256, Curve::P384, Curve::P521]
        .into_iter()
        .find(|curve| curve.algorithm() == algorithm)
        .unwrap()
}

fn with_material<T>(algorithm: Algorithm, jwk: &str, f: impl FnOnce(&Material<'_>) -> T) -> T {
    let jwk: serde_json::Value = serde_json::from_str(jwk).unwrap();
    let bytes = |name: &str| decode(jwk[name].as_str().unwrap());
    match jwk["kty"].as_str().unwrap() {
        "oct" => f(&Material::Hmac(&bytes("k"))),
        "RSA" => f(&Material::Rsa {
            n: &bytes("n"),
            e: &bytes("e"),
        }),
        "EC" => f(&Material::Ec {
            curve: curve_of(algorithm),
            point: &[vec![4], bytes("x"), bytes("y")].concat(),
        }),
        _ => f(&Material::Ed25519(&bytes("x"))),
    }
}

#[test]
fn examples_of_the_rfcs_hold_and_break() {
    for (section, algorithm, jwk, jws) in vectors::VECTORS {
        let (message, signature) = jws.rsplit_once('.').unwrap();
        let (message, signature) = (message.as_bytes(), decode(signature));
        with_material(algorithm, jwk, |material| {
            assert!(holds(algorithm, material, message, &signature), "{section}");
            for broken in broken(&signature) {
                assert!(!holds(algorithm, material, message, &broken), "{section}");
            }
            assert!(!holds(algorithm, material, &message[1..], &signature));
            assert!(!holds(algorithm, material, b"", &signature));
        });
    }
}

/// Signatures that are like a good one.
fn broken(good: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![
        Vec::new(),
        good[1..].to_vec(),
        good[..good.len() - 1].to_vec(),
        [&[0][..], good].concat(),
        [good, &[0][..]].concat(),
        vec![0; good.len()],
        vec![0xff; good.len()],
        good.iter().rev().copied().collect(),
    ];
    for place in [0, 1, good.len() / 2, good.len() - 1] {
        for bit in [0x01, 0x80] {
            let mut flipped = good.to_vec();
            flipped[place] ^= bit;
            all.push(flipped);
        }
    }
    all
}

#[test]
fn hashes_and_compares() {
    let abc = [
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22,
        0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00,
        0x15, 0xad,
    ];
    assert_eq!(sha256(b"abc"), abc);
    #[cfg(feature = "rust-crypto")]
    assert_eq!(rust_crypto::sha256(b"abc"), abc);
    for (a, b, equal) in [
        (&b""[..], &b""[..], true),
        (b"a", b"a", true),
        (b"a", b"b", false),
        (b"a", b"aa", false),
        (b"", b"a", false),
    ] {
        assert_eq!(fixed_time_eq(a, b), equal);
        #[cfg(feature = "rust-crypto")]
        assert_eq!(rust_crypto::fixed_time_eq(a, b), equal);
    }
}

#[test]
fn an_algorithm_takes_its_own_kind_of_key() {
    let kinds = vectors::VECTORS.map(|(_, algorithm, jwk, _)| (algorithm, jwk));
    for (made_for, jwk) in kinds {
        with_material(made_for, jwk, |material| {
            for algorithm in Algorithm::ALL {
                let fits = match made_for.as_str().as_bytes()[0] {
                    b'H' => algorithm.is_symmetric(),
                    b'R' | b'P' => matches!(algorithm.as_str().as_bytes()[0], b'R' | b'P'),
                    _ => algorithm == made_for,
                };
                match refusal(algorithm, material) {
                    None => assert!(fits, "{algorithm} with a key for {made_for}"),
                    Some(KeyError::SecretTooShort { .. }) => assert!(fits),
                    Some(error) => {
                        assert!(!fits, "{algorithm} with a key for {made_for}");
                        assert_eq!(error, KeyError::Mismatch(algorithm));
                    }
                }
            }
        });
    }
}

#[test]
fn secrets_are_as_long_as_the_hash() {
    for (algorithm, length) in [
        (Algorithm::HS256, 32),
        (Algorithm::HS384, 48),
        (Algorithm::HS512, 64),
    ] {
        let secret = [7; 200];
        for accepted in [length, length + 1, 129, 200] {
            let material = Material::Hmac(&secret[..accepted]);
            assert_eq!(refusal(algorithm, &material), None);
        }
        for bytes in [0, 1, length - 1] {
            assert_eq!(
                refusal(algorithm, &Material::Hmac(&secret[..bytes])),
                Some(KeyError::SecretTooShort { algorithm, bytes })
            );
        }
    }
    let error = KeyError::SecretTooShort {
        algorithm: Algorithm::HS384,
        bytes: 3,
    };
    assert_eq!(
        error.to_string(),
        "HMAC secret of 3 bytes; HS384 needs at least 48 (RFC 7518 §3.2)"
    );
}

#[test]
fn rsa_keys_have_a_sound_size_and_exponent() {
    // Odd, and of so many bits.
    let modulus = |bits: usize| {
        let mut n = vec![0xa5; bits.div_ceil(8)];
        let top = (bits - 1) % 8;
        n[0] = 1 << top;
        *n.last_mut().unwrap() = 0xad;
        n
    };
    let rsa = |n: &[u8], e: &[u8]| {
        let answers = [Algorithm::RS256, Algorithm::PS512]
            .map(|algorithm| refusal(algorithm, &Material::Rsa { n, e }));
        agreed(&answers)
    };
    let e = [1, 0, 1];
    for bits in [2048, 2049, 2055, 3072, 4096, 8192] {
        assert_eq!(rsa(&modulus(bits), &e), None, "{bits}");
    }
    for bits in [8, 512, 1024, 2047] {
        let error = rsa(&modulus(bits), &e);
        assert_eq!(error, Some(KeyError::ModulusTooSmall(bits)));
    }
    for bits in [8193, 16384, 100_000] {
        let error = rsa(&modulus(bits), &e);
        assert_eq!(error, Some(KeyError::ModulusTooLarge(bits)));
    }
    assert_eq!(rsa(&[], &e), Some(KeyError::ModulusTooSmall(0)));
    assert_eq!(rsa(&[0; 256], &e), Some(KeyError::ModulusTooSmall(0)));
    // Leading zeros are no part of the number.
    assert_eq!(
        rsa(&[vec![0, 0], modulus(2048)].concat(), &[0, 1, 0, 1]),
        None
    );
    assert_eq!(
        rsa(&[vec![0; 128], modulus(1024)].concat(), &e),
        Some(KeyError::ModulusTooSmall(1024))
    );
    let mut even = modulus(2048);
    *even.last_mut().unwrap() = 0xac;
    assert_eq!(rsa(&even, &e), Some(KeyError::EvenModulus));
    for e in [
        &[3][..],
        &[5],
        &[17],
        &[1, 0, 1],
        &[1, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(rsa(&modulus(2048), e), None, "{e:?}");
    }
    for e in [
        &[][..],
        &[0],
        &[1],
        &[2],
        &[4],
        &[1, 0, 0],
        &[2, 0, 0, 0, 1],
        &[1; 256],
    ] {
        assert_eq!(rsa(&modulus(2048), e), Some(KeyError::Exponent), "{e:?}");
    }
    assert_eq!(
        KeyError::ModulusTooSmall(1024).to_string(),
        "RSA modulus of 1024 bits; at least 2048 are needed (RFC 7518 §3.3)"
    );
}

#[test]
fn points_lie_on_their_curve() {
    for (_, algorithm, jwk, _) in vectors::VECTORS {
        if !algorithm.as_str().starts_with("ES") {
            continue;
        }
        with_material(algorithm, jwk, |material| {
            let Material::Ec { curve, point } = *material else {
                panic!()
            };
            let length = curve.field_length();
            let refuses = |point: &[u8]| {
                let error = refusal(algorithm, &Material::Ec { curve, point });
                assert_eq!(error, Some(KeyError::Point(curve)), "{point:?}");
            };
            refuses(&[]);
            refuses(&[0]);
            refuses(&point[..point.len() - 1]);
            refuses(&[point, &[0]].concat());
            // Compressed and hybrid forms, and none.
            let parity = point.last().unwrap() & 1;
            refuses(&[&[2 + parity], &point[1..=length]].concat());
            for form in [0, 2, 3, 5, 6, 6 + parity] {
                refuses(&[&[form], &point[1..]].concat());
            }
            // Beside the curve, at 0, and with coordinates that are not reduced.
            let mut beside = point.to_vec();
            *beside.last_mut().unwrap() ^= 1;
            refuses(&beside);
            refuses(&[&[4], &vec![0; 2 * length][..]].concat());
            refuses(&[&[4], &vec![0xff; 2 * length][..]].concat());
            refuses(&[&[4], &point[length + 1..], &point[1..=length]].concat());
            for other in [Curve::P256, Curve::P384, Curve::P521] {
                if other != curve {
                    let error = refusal(
                        algorithm,
                        &Material::Ec {
                            curve: other,
                            point,
                        },
                    );
                    assert_eq!(error, Some(KeyError::Mismatch(algorithm)));
                }
            }
        });
    }
}

#[test]
fn ed25519_keys_are_points_of_large_order() {
    let good = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let refuses = |point: &[u8]| {
        let error = refusal(Algorithm::EdDSA, &Material::Ed25519(point));
        assert_eq!(error, Some(KeyError::Ed25519Point), "{point:?}");
    };
    refuses(&[]);
    refuses(&good[1..]);
    refuses(&[&good[..], &[0]].concat());
    for weak in [0, 1] {
        let mut point = [0; 32];
        point[0] = weak;
        refuses(&point);
        point[31] = 0x80;
        refuses(&point);
    }
    refuses(&[0xff; 32]);
}

#[test]
fn ed25519_signatures_are_not_malleable() {
    let (_, algorithm, jwk, jws) = vectors::VECTORS[7];
    let (message, signature) = jws.rsplit_once('.').unwrap();
    let signature = decode(signature);
    // The order of the group, least significant first: S + L is the same number in another spelling.
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut other = signature.clone();
    let mut carry = 0;
    for (byte, add) in other[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + add + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    with_material(algorithm, jwk, |material| {
        assert!(holds(algorithm, material, message.as_bytes(), &signature));
        assert!(!holds(algorithm, material, message.as_bytes(), &other));
        // A commitment of low order.
        let mut weak = signature.clone();
        weak[..32].fill(0);
        weak[0] = 1;
        assert!(!holds(algorithm, material, message.as_bytes(), &weak));
    });
}

#[test]
fn ecdsa_takes_either_s_and_no_number_out_of_range() {
    // The order of P-256, big-endian.
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (_, algorithm, jwk, jws) = vectors::VECTORS[2];
    let (message, signature) = jws.rsplit_once('.').unwrap();
    let (message, signature) = (message.as_bytes(), decode(signature));
    let (r, s) = signature.split_at(32);
    let mut negated = order;
    let mut borrow = 0;
    for (byte, subtract) in negated.iter_mut().zip(s).rev() {
        let difference = i16::from(*byte) - i16::from(*subtract) - borrow;
        *byte = difference as u8;
        borrow = i16::from(difference < 0);
    }
    let zero = [0; 32];
    with_material(algorithm, jwk, |material| {
        let takes = |r: &[u8], s: &[u8]| holds(algorithm, material, message, &[r, s].concat());
        assert!(takes(r, s));
        assert!(takes(r, &negated));
        for (r, s) in [
            (&zero[..], s),
            (r, &zero[..]),
            (&zero, &zero),
            (&order, s),
            (r, &order),
            (&order, &order),
            (&[0xff; 32], s),
            (r, &[0xff; 32]),
        ] {
            assert!(!takes(r, s), "{r:?} {s:?}");
        }
        // The same signature as X9.62 has it.
        let mut der = vec![0x30, 0x45, 0x02, 0x20];
        der.extend(r);
        der.extend([0x02, 0x21, 0]);
        der.extend(s);
        assert!(!holds(algorithm, material, message, &der));
    });
}

#[test]
fn debug_shows_no_key() {
    let key = VerifyingKey::new(Algorithm::HS256, &Material::Hmac(&[65; 32])).unwrap();
    assert_eq!(format!("{key:?}"), "VerifyingKey(HS256)");
}

#[cfg(feature = "_signing")]
mod signing {
    use super::{
        super::{signing::SigningKey, *},
        *,
    };

    pub(super) fn pkcs8(algorithm: Algorithm) -> Option<Vec<u8>> {
        use Algorithm::*;
        let text = match algorithm {
            HS256 | HS384 | HS512 => return None,
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => vectors::RSA,
            ES256 => vectors::P256,
            ES384 => vectors::P384,
            ES512 => vectors::P521,
            EdDSA => vectors::ED25519,
        };
        Some(base64_simd::STANDARD.decode_to_vec(text).unwrap())
    }

    fn what_one_signs_all_verify<K: super::super::signing::PrivateKey>() {
        for algorithm in Algorithm::ALL {
            let key = match pkcs8(algorithm) {
                Some(der) => SigningKey::<K>::from_pkcs8_der(algorithm, &der).unwrap(),
                None => SigningKey::<K>::from_hmac(algorithm, &[7; 64]).unwrap(),
            };
            let message = b"header.payload";
            let signature = key.sign(message).unwrap();
            let material = key.material();
            assert!(
                holds(algorithm, &material, message, &signature),
                "{algorithm}"
            );
            assert!(!holds(algorithm, &material, b"header.payloae", &signature));
            for broken in broken(&signature) {
                assert!(
                    !holds(algorithm, &material, message, &broken),
                    "{algorithm}"
                );
            }
            // A key of several algorithms says yes under one of them.
            for other in Algorithm::ALL {
                if other != algorithm && refusal(other, &material).is_none() {
                    assert!(!holds(other, &material, message, &signature), "{other}");
                }
            }
            assert_eq!(format!("{key:?}"), format!("SigningKey({algorithm})"));
        }
    }

    fn refuses_other_private_keys<K: super::super::signing::PrivateKey>() {
        for algorithm in Algorithm::ALL {
            for other in Algorithm::ALL {
                let Some(der) = pkcs8(other) else { continue };
                let same = pkcs8(algorithm).as_ref() == Some(&der);
                let key = SigningKey::<K>::from_pkcs8_der(algorithm, &der);
                assert_eq!(key.is_ok(), same, "{algorithm} with a key for {other}");
            }
            for der in [&[][..], b"-----BEGIN PRIVATE KEY-----", &[0x30, 0]] {
                let key = SigningKey::<K>::from_pkcs8_der(algorithm, der);
                assert_eq!(key.unwrap_err(), KeyError::Private(algorithm));
            }
            if algorithm.is_symmetric() {
                assert!(SigningKey::<K>::from_hmac(algorithm, &[7; 31]).is_err());
            } else {
                assert!(SigningKey::<K>::from_hmac(algorithm, &[7; 64]).is_err());
            }
        }
    }

    fn makes_fresh_keys<K: super::super::signing::PrivateKey>(algorithms: &[Algorithm]) {
        for &algorithm in algorithms {
            let [one, two] = [(); 2].map(|()| SigningKey::<K>::generate(algorithm).unwrap());
            assert_ne!(one.public_jwk(None), two.public_jwk(None));
            let signature = one.sign(b"message").unwrap();
            assert!(holds(algorithm, &one.material(), b"message", &signature));
            assert!(!holds(algorithm, &two.material(), b"message", &signature));
        }
    }

    #[cfg(feature = "aws-lc-rs")]
    #[test]
    fn aws_lc() {
        what_one_signs_all_verify::<aws_lc::PrivateKey>();
        refuses_other_private_keys::<aws_lc::PrivateKey>();
        makes_fresh_keys::<aws_lc::PrivateKey>(&Algorithm::ALL);
    }

    #[cfg(feature = "rust-crypto")]
    #[test]
    fn rust_crypto() {
        what_one_signs_all_verify::<rust_crypto::PrivateKey>();
        refuses_other_private_keys::<rust_crypto::PrivateKey>();
        // Of RSA one alone, which takes long enough.
        let mut algorithms = Algorithm::ALL.to_vec();
        algorithms.retain(|algorithm| !matches!(algorithm.as_str().as_bytes()[0], b'R' | b'P'));
        makes_fresh_keys::<rust_crypto::PrivateKey>(&algorithms);
        makes_fresh_keys::<rust_crypto::PrivateKey>(&[Algorithm::RS256]);
    }

    #[cfg(feature = "rust-crypto")]
    #[test]
    fn pss_salts_are_as_long_as_the_hash() {
        use ::rsa::{BoxedUint, Pss};
        use sha2::{Digest, Sha256};

        let der = pkcs8(Algorithm::PS256).unwrap();
        let Some(private::PrivateMaterial::Rsa(numbers)) =
            private::PrivateMaterial::from_pkcs8(&der)
        else {
            panic!()
        };
        let [n, e, d, p, q] = [numbers.n, numbers.e, numbers.d, numbers.p, numbers.q]
            .map(BoxedUint::from_be_slice_vartime);
        let private = ::rsa::PrivateKey::from_components(n, e, d, vec![p, q]).unwrap();
        let key = super::super::SigningKey::from_pkcs8_der(Algorithm::PS256, &der).unwrap();
        for (salt, good) in [
            (32, true),
            (0, false),
            (20, false),
            (31, false),
            (64, false),
        ] {
            let padding = Pss::<Sha256>::new_with_salt(salt);
            let signature = private.sign(padding, &Sha256::digest(b"message")).unwrap();
            let verdict = holds(Algorithm::PS256, &key.material(), b"message", &signature);
            assert_eq!(verdict, good, "{salt}");
        }
    }

    #[test]
    fn the_jwk_is_public() {
        for algorithm in Algorithm::ALL {
            let Some(der) = pkcs8(algorithm) else {
                continue;
            };
            let key = super::super::SigningKey::from_pkcs8_der(algorithm, &der).unwrap();
            let jwk = key.public_jwk(Some("name"));
            let members: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
            for member in &members {
                let public = ["alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"];
                assert!(public.contains(&member.as_str()), "{member}");
            }
            assert_eq!(jwk["alg"], algorithm.as_str());
            assert_eq!(jwk["kid"], "name");
        }
    }
}
