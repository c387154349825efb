//! The Wycheproof JWS vectors and the JOSE cookbook, where their files are at hand: in the folder
//! that `CONFORMANCE` names, or beside the crate.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::*;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CONFORMANCE").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../shared/conformance"
            ))
        },
        PathBuf::from,
    );
    folder.is_dir().then_some(folder)
}

/// Whether a key of the set verifies the compact form, by the algorithm that its header names.
fn verifies(keys: &KeySet, jws: &str) -> bool {
    let decode = |text: &str| base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok();
    let verdict = || {
        let segments: Vec<_> = jws.split('.').collect();
        let [header, payload, signature] = segments[..] else {
            return None;
        };
        let signature = decode(signature)?;
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        let algorithm = Algorithm::from_name(header["alg"].as_str()?)?;
        let message = jws.rsplit_once('.')?.0;
        decode(payload)?;
        Some(
            keys.keys()
                .iter()
                .flat_map(Key::entries)
                .any(|(of, key)| *of == algorithm && key.verify(message.as_bytes(), &signature)),
        )
    };
    verdict().unwrap_or(false)
}

#[test]
fn wycheproof() {
    let Some(folder) = folder() else { return };
    let rows = fs::read_to_string(folder.join("wycheproof/jws_rows.jsonl")).unwrap();
    let (mut held, mut refused) = (0, 0);
    for row in rows.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        // Its authors want no set with a secret beside public keys. Here each key has its algorithm,
        // so that none can be taken for another.
        if row["group"] == "jws_mixedSymmetryKeyset" {
            continue;
        }
        let set = format!(r#"{{"keys":{}}}"#, row["keys"]);
        let keys = KeySet::parse(&set).unwrap();
        let verdict = verifies(&keys, row["jws"].as_str().unwrap());
        assert_eq!(verdict, row["result"] == "valid", "{row}");
        if verdict {
            held += 1;
        } else {
            refused += 1;
        }
    }
    assert!(held > 0 && refused > 0);
}

#[test]
fn cookbook() {
    let Some(folder) = folder() else { return };
    let mut held = 0;
    for (file, single) in [
        ("cookbook/jws/4_1.rsa_v15_signature.json", true),
        ("cookbook/jws/4_2.rsa-pss_signature.json", true),
        ("cookbook/jws/4_3.ecdsa_signature.json", true),
        ("cookbook/jws/4_4.hmac-sha2_integrity_protection.json", true),
        ("cookbook/curve25519/jws.json", true),
        ("cookbook/jwk/3_1.ec_public_key.json", false),
        ("cookbook/jwk/3_3.rsa_public_key.json", false),
        ("cookbook/jwk/3_5.symmetric_key_mac_computation.json", false),
    ] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let mut example: Value = serde_json::from_str(&text).unwrap();
        if !single {
            Key::from_jwk(&text).unwrap_or_else(|error| panic_with(file, &error));
            continue;
        }
        let jwk = example["input"]["key"].as_object_mut().unwrap();
        if jwk["kty"] != "oct" {
            let private = serde_json::to_string(jwk).unwrap();
            let error = Key::from_jwk(&private).unwrap_err().to_string();
            assert!(error.contains("private key"), "{error}");
            jwk.retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
        }
        let key = Key::from_jwk(&serde_json::to_string(jwk).unwrap()).unwrap();
        let jws = example["output"]["compact"].as_str().unwrap();
        assert!(verifies(&KeySet::new().with_key(key), jws), "{file}");
        held += 1;
    }
    assert_eq!(held, 5);
    for file in [
        "cookbook/jwk/3_2.ec_private_key.json",
        "cookbook/jwk/3_4.rsa_private_key.json",
        "cookbook/jwk/3_6.symmetric_key_encryption.json",
    ] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        Key::from_jwk(&text).expect_err(file);
    }
}
