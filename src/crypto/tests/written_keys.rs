//! Private keys that one backend writes and the others read.

use super::{
    super::{export, signing},
    *,
};

fn written_by<K: signing::PrivateKey>(algorithm: Algorithm) {
    let key = signing::SigningKey::<K>::generate(algorithm).unwrap();
    let (private, public) = key.parts().unwrap();
    let text = export::pem(&private, public).unwrap();
    let der = pem::read(text.as_bytes(), "PRIVATE KEY").unwrap().contents;
    let public = key.public_jwk(None);
    #[cfg(feature = "aws-lc-rs")]
    read_by::<aws_lc::PrivateKey>(algorithm, &der, &public, &text);
    #[cfg(feature = "rust-crypto")]
    read_by::<rust_crypto::PrivateKey>(algorithm, &der, &public, &text);
}

fn read_by<K: signing::PrivateKey>(
    algorithm: Algorithm,
    der: &[u8],
    public: &serde_json::Value,
    text: &str,
) {
    let key = signing::SigningKey::<K>::from_pkcs8_der(algorithm, der).unwrap();
    assert_eq!(key.public_jwk(None), *public);
    let (private, public) = key.parts().unwrap();
    assert_eq!(*export::pem(&private, public).unwrap(), text, "{algorithm}");
}

#[test]
fn a_key_that_one_backend_writes_is_read_by_every_backend_and_written_alike() {
    for algorithm in [
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
        Algorithm::RS256,
    ] {
        #[cfg(feature = "aws-lc-rs")]
        written_by::<aws_lc::PrivateKey>(algorithm);
        #[cfg(feature = "rust-crypto")]
        written_by::<rust_crypto::PrivateKey>(algorithm);
    }
}

#[test]
fn a_secret_has_no_private_part() {
    let key = SigningKey::generate(Algorithm::HS256).unwrap();
    assert!(key.parts().is_none());
}
