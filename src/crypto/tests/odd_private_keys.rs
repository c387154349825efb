//! Attack 46 for private keys: odd PKCS#8 documents, which every backend takes or refuses alike.

use super::{super::signing::SigningKey, signing::pkcs8, *};
use crate::random::Seeded;

/// What every backend says of a document.
fn verdict(algorithm: Algorithm, der: &[u8]) -> Result<(), KeyError> {
    agreed(&[
        #[cfg(feature = "aws-lc-rs")]
        judged::<aws_lc::PrivateKey>(algorithm, der),
        #[cfg(feature = "rust-crypto")]
        judged::<rust_crypto::PrivateKey>(algorithm, der),
    ])
}

/// A key that is taken must sign what its public key verifies.
fn judged<K: super::super::signing::PrivateKey>(
    algorithm: Algorithm,
    der: &[u8],
) -> Result<(), KeyError> {
    let key = SigningKey::<K>::from_pkcs8_der(algorithm, der)?;
    let signature = key.sign(b"message").expect("a key that was taken signs");
    assert!(holds(algorithm, &key.material(), b"message", &signature));
    Ok(())
}

/// A DER value.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut der = vec![tag];
    match length {
        0..0x80 => der.push(length as u8),
        0x80..0x100 => der.extend([0x81, length as u8]),
        _ => der.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    der.extend(content);
    der
}

fn integer(number: &[u8]) -> Vec<u8> {
    let number: Vec<u8> = number
        .iter()
        .skip_while(|byte| **byte == 0)
        .copied()
        .collect();
    let zero: &[u8] = match number.first() {
        Some(first) if first & 0x80 == 0 => &[],
        _ => &[0],
    };
    tlv(2, &[zero, &number])
}

const OF_ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
const OF_RSA: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const OF_EC: [u8; 9] = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const OF_P256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const OF_P384: [u8; 7] = [6, 5, 0x2b, 0x81, 4, 0, 0x22];

fn document(version: u8, algorithm: &[&[u8]], private: &[u8], more: &[u8]) -> Vec<u8> {
    let algorithm = tlv(0x30, algorithm);
    tlv(
        0x30,
        &[&[2, 1, version], &algorithm, &tlv(4, &[private]), more],
    )
}

#[test]
fn attack_46_forms_of_a_private_key_of_ed25519() {
    let der = pkcs8(Algorithm::EdDSA).unwrap();
    let seed = &der[der.len() - 32..];
    let good = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let mut wrong = good.clone();
    wrong[0] ^= 1;
    let public = |point: &[u8]| tlv(0x81, &[&[0], point]);
    let private = tlv(4, &[seed]);
    let attributes = [0xa0, 0];
    for (of, der, taken) in [
        (
            "version 1",
            document(0, &[&OF_ED25519], &private, &[]),
            true,
        ),
        (
            "version 2",
            document(1, &[&OF_ED25519], &private, &public(&good)),
            true,
        ),
        (
            "attributes",
            document(0, &[&OF_ED25519], &private, &attributes),
            true,
        ),
        (
            "another public key",
            document(1, &[&OF_ED25519], &private, &public(&wrong)),
            false,
        ),
        (
            "a short public key",
            document(1, &[&OF_ED25519], &private, &public(&good[1..])),
            false,
        ),
        (
            "version 1 with a public key",
            document(0, &[&OF_ED25519], &private, &public(&good)),
            false,
        ),
        (
            "version 2 without one",
            document(1, &[&OF_ED25519], &private, &[]),
            false,
        ),
        (
            "version 3",
            document(2, &[&OF_ED25519], &private, &[]),
            false,
        ),
        (
            "the seed alone",
            document(0, &[&OF_ED25519], seed, &[]),
            false,
        ),
        (
            "seed and public key",
            document(0, &[&OF_ED25519], &tlv(4, &[seed, &good]), &[]),
            false,
        ),
        (
            "a short seed",
            document(0, &[&OF_ED25519], &tlv(4, &[&seed[1..]]), &[]),
            false,
        ),
        (
            "more after the seed",
            document(0, &[&OF_ED25519], &[&private[..], &[0]].concat(), &[]),
            false,
        ),
        (
            "parameters",
            document(0, &[&OF_ED25519, &[5, 0]], &private, &[]),
            false,
        ),
        (
            "more after the document",
            [document(0, &[&OF_ED25519], &private, &[]), vec![0]].concat(),
            false,
        ),
    ] {
        assert_eq!(verdict(Algorithm::EdDSA, &der).is_ok(), taken, "{of}");
    }
}

#[test]
fn attack_46_forms_of_a_private_key_of_ecdsa() {
    let der = pkcs8(Algorithm::ES256).unwrap();
    let Some(private::PrivateMaterial::Ec { scalar, point, .. }) =
        private::PrivateMaterial::from_pkcs8(&der)
    else {
        panic!()
    };
    let point = point.unwrap();
    let order = decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE");
    let key = |version: u8, scalar: &[u8], more: &[&[u8]]| {
        let more = more.concat();
        let private = tlv(0x30, &[&[2, 1, version], &tlv(4, &[scalar]), &more]);
        document(0, &[&OF_EC, &OF_P256], &private, &[])
    };
    let public = |point: &[u8]| tlv(0xa1, &[&tlv(3, &[&[0], point])]);
    let parity = point[64] & 1;
    let compressed = [&[2 + parity], &point[1..33]].concat();
    let negated = [&[3 - parity], &point[1..33]].concat();
    let hybrid = [&[6 + parity], &point[1..]].concat();
    let mut less = order.clone();
    less[31] -= 1;
    let mut more = order.clone();
    more[31] += 1;
    let small = [&[0; 31][..], &[7]].concat();
    let private = tlv(0x30, &[&[2, 1, 1], &tlv(4, &[&scalar])]);
    for (of, der, taken) in [
        (
            "with the public key",
            key(1, &scalar, &[&public(point)]),
            true,
        ),
        ("without it", key(1, &scalar, &[]), true),
        (
            "with the curve",
            key(1, &scalar, &[&tlv(0xa0, &[&OF_P256]), &public(point)]),
            true,
        ),
        (
            "with another curve",
            key(1, &scalar, &[&tlv(0xa0, &[&OF_P384]), &public(point)]),
            false,
        ),
        ("compressed", key(1, &scalar, &[&public(&compressed)]), true),
        (
            "compressed, the other sign",
            key(1, &scalar, &[&public(&negated)]),
            false,
        ),
        ("hybrid", key(1, &scalar, &[&public(&hybrid)]), false),
        ("no point", key(1, &scalar, &[&public(&[])]), false),
        ("infinity", key(1, &scalar, &[&public(&[0])]), false),
        ("another scalar", key(1, &small, &[&public(point)]), false),
        ("a small scalar", key(1, &small, &[]), true),
        ("the same without zeros", key(1, &[7], &[]), true),
        ("zero", key(1, &[0; 32], &[]), false),
        ("no scalar", key(1, &[], &[]), false),
        ("n - 1", key(1, &less, &[]), true),
        ("n", key(1, &order, &[]), false),
        ("n + 1", key(1, &more, &[]), false),
        ("all ones", key(1, &[0xff; 32], &[]), false),
        (
            "a long scalar",
            key(1, &[&[0], &scalar[..]].concat(), &[]),
            false,
        ),
        ("version 0", key(0, &scalar, &[]), false),
        ("version 2", key(2, &scalar, &[]), false),
        ("no curve", document(0, &[&OF_EC], &private, &[]), false),
        (
            "another curve",
            document(0, &[&OF_EC, &OF_P384], &private, &[]),
            false,
        ),
        ("SEC 1 alone", private.clone(), false),
        (
            "a public key outside",
            document(1, &[&OF_EC, &OF_P256], &private, &tlv(0x81, &[&[0], point])),
            false,
        ),
    ] {
        assert_eq!(verdict(Algorithm::ES256, &der).is_ok(), taken, "{of}");
    }
}

#[test]
fn attack_46_forms_of_a_private_key_of_rsa() {
    let der = pkcs8(Algorithm::RS256).unwrap();
    let Some(private::PrivateMaterial::Rsa(key)) = private::PrivateMaterial::from_pkcs8(&der)
    else {
        panic!()
    };
    let good = [key.n, key.e, key.d, key.p, key.q, key.dp, key.dq, key.qi];
    let pkcs1 = |version: u8, numbers: &[&[u8]]| {
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| integer(number)).collect();
        tlv(0x30, &[&[2, 1, version], &numbers])
    };
    let rsa = |numbers: &[&[u8]]| document(0, &[&OF_RSA, &[5, 0]], &pkcs1(0, numbers), &[]);
    assert_eq!(verdict(Algorithm::RS256, &rsa(&good)), Ok(()));
    let names = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
    for (place, name) in names.into_iter().enumerate() {
        let with = |number: &[u8]| {
            let mut numbers = good;
            numbers[place] = number;
            verdict(Algorithm::RS256, &rsa(&numbers))
        };
        let mut other = good[place].to_vec();
        *other.last_mut().unwrap() ^= 2;
        assert!(with(&other).is_err(), "{name} changed");
        *other.last_mut().unwrap() ^= 3;
        assert!(with(&other).is_err(), "{name} even or odd");
        assert!(with(&[]).is_err(), "{name} = 0");
        assert!(with(&[1]).is_err(), "{name} = 1");
        assert!(
            with(&[&[1], good[place]].concat()).is_err(),
            "{name} longer"
        );
        assert!(with(&vec![0xff; 256]).is_err(), "{name} large");
        assert!(with(&vec![0xff; 300]).is_err(), "{name} too large");
    }
    let [n, e, d, p, q, dp, dq, qi] = good;
    for (of, der, taken) in [
        (
            "no parameters",
            document(0, &[&OF_RSA], &pkcs1(0, &good), &[]),
            true,
        ),
        (
            "other parameters",
            document(0, &[&OF_RSA, &OF_P256], &pkcs1(0, &good), &[]),
            false,
        ),
        (
            "several primes",
            document(0, &[&OF_RSA, &[5, 0]], &pkcs1(1, &good), &[]),
            false,
        ),
        (
            "p and q changed places",
            rsa(&[n, e, d, q, p, dp, dq, qi]),
            false,
        ),
        (
            "the same, with their exponents",
            rsa(&[n, e, d, q, p, dq, dp, qi]),
            false,
        ),
        ("p twice", rsa(&[n, e, d, p, p, dp, dp, qi]), false),
        ("1 and n", rsa(&[n, e, d, &[1], n, dp, dq, qi]), false),
        ("n and 1", rsa(&[n, e, d, n, &[1], dp, dq, qi]), false),
        ("no qi", rsa(&good[..7]), false),
        ("one more", rsa(&[n, e, d, p, q, dp, dq, qi, &[1]]), false),
        ("PKCS#1 alone", pkcs1(0, &good), false),
    ] {
        assert_eq!(verdict(Algorithm::RS256, &der).is_ok(), taken, "{of}");
    }
}

/// Any bits of a good document flipped, and bytes taken out or doubled.
#[test]
fn attack_46_damaged_private_keys() {
    let mut random = Seeded::new(8);
    let mut sum = 0_u64;
    let algorithms = [
        (Algorithm::EdDSA, 400),
        (Algorithm::ES256, 400),
        (Algorithm::ES384, 40),
        (Algorithm::ES512, 40),
        (Algorithm::PS256, 60),
    ];
    for (algorithm, count) in algorithms {
        let good = pkcs8(algorithm).unwrap();
        assert_eq!(verdict(algorithm, &good), Ok(()));
        for _ in 0..count {
            let mut der = good.clone();
            let place = random.below(der.len());
            match random.below(6) {
                0 => _ = der.remove(place),
                1 => der.insert(place, random.number() as u8),
                2 => der.truncate(place),
                _ => {
                    for _ in 0..=random.below(2) {
                        let place = random.below(der.len());
                        der[place] ^= 1 << random.below(8);
                    }
                }
            }
            let taken = verdict(algorithm, &der).is_ok();
            sum = (sum ^ u64::from(taken))
                .wrapping_add(1)
                .wrapping_mul(0x100_0000_01b3);
        }
    }
    // The same in a build with one backend alone.
    assert_eq!(sum, 17_363_542_770_603_183_073);
}
