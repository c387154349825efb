//! [`Signer`]: signs with a key that never is in this process.

use std::{sync::Arc, time::Duration};

use super::jwk;
use crate::{
    algorithm::Algorithm,
    crypto::{
        Parts, VerifyingKey,
        der::{self, DerError},
        pem,
    },
    error::ConfigError,
    store::StoreError,
    verify::{
        BoxFuture,
        jwt::jwk::{Jwk, Reason},
    },
};

/// Signs with a private key that is somewhere else: in a key management service (KMS) or a hardware security module.
/// [`SigningKey::from_signer`](super::SigningKey::from_signer) makes a key of it.
///
/// ```
/// use tower_bearer::{Algorithm, BoxFuture, StoreError, token_service::{Signer, SigningKey}};
///
/// struct Kms {
///     // A client of the service, which is cheap to clone.
///     key_name: String,
/// }
/// # impl Kms { async fn call(_: String, _: Vec<u8>) -> std::io::Result<Vec<u8>> { Ok(Vec::new()) } }
///
/// impl Signer for Kms {
///     fn sign(&self, message: &[u8]) -> BoxFuture<Result<Vec<u8>, StoreError>> {
///         let call = Self::call(self.key_name.clone(), message.to_vec());
///         Box::pin(async { call.await.map_err(StoreError::new) })
///     }
/// }
///
/// // As the service gives it: in PEM, in DER, or as a JWK.
/// # let public_key = "-----BEGIN PUBLIC KEY-----\n\
/// #     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
/// #     6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n\
/// #     -----END PUBLIC KEY-----\n";
/// let kms = Kms { key_name: "tokens".to_owned() };
/// let key = SigningKey::from_signer(Algorithm::ES256, public_key, kms)?;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
pub trait Signer: Send + Sync + 'static {
    /// Signs a message by the algorithm of the key. The message is the whole signing input of the token (RFC 7515 §5.1),
    /// not a hash of it.
    ///
    /// The signature has the form of JWS (RFC 7518 §3). One of ECDSA may also be in DER, as most services return it.
    ///
    /// The call has the [`store_timeout`](super::super::AuthorizationServerBuilder::store_timeout) of the server. If
    /// it fails or takes longer, or if the public key does not verify the signature, the request is answered 503 with
    /// `Retry-After`. A refresh token is then good as before.
    ///
    /// # Errors
    /// If the service cannot be reached or refuses.
    fn sign(&self, message: &[u8]) -> BoxFuture<Result<Vec<u8>, StoreError>>;
}

/// A [`Signer`], and what verifies its signatures.
pub(super) struct Remote {
    signer: Arc<dyn Signer>,
    verifying: VerifyingKey,
    public: Parts,
}

impl Remote {
    pub(super) fn new(
        algorithm: Algorithm,
        public: &[u8],
        signer: impl Signer,
    ) -> Result<Self, ConfigError> {
        let public = read_public(public)?;
        let verifying = VerifyingKey::new(algorithm, &public.material())
            .map_err(|error| ConfigError::new(error.to_string()))?;
        Ok(Self {
            signer: Arc::new(signer),
            verifying,
            public,
        })
    }

    pub(super) fn public(&self) -> &Parts {
        &self.public
    }

    /// A signature in the form of JWS, which the public key verifies.
    pub(super) async fn sign(
        &self,
        message: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, StoreError> {
        let signed = tokio::time::timeout(timeout, self.signer.sign(message)).await;
        let signature =
            signed.map_err(|_| StoreError::new("the signer did not answer in time"))??;
        if self.verifying.verify(message, &signature) {
            return Ok(signature);
        }
        if let Parts::Ec { curve, .. } = &self.public
            && let Some(signature) = der::ecdsa_signature(&signature, *curve)
            && self.verifying.verify(message, &signature)
        {
            return Ok(signature);
        }
        Err(StoreError::new(
            "the public key does not verify the signature of the signer: it has another key, or signs by another \
             algorithm",
        ))
    }
}

/// A public key in PEM, in DER, or as a JWK.
fn read_public(text: &[u8]) -> Result<Parts, ConfigError> {
    if pem::is_like(text) {
        let pem = pem::read(text, "PUBLIC KEY")?;
        return match &*pem.label {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => of_der(&pem.contents),
            label => Err(ConfigError::new(format!(
                "PEM of the type {label:?}; the `PUBLIC KEY` of the signer is wanted"
            ))),
        };
    }
    match std::str::from_utf8(text) {
        Ok(json) if json.trim_start().starts_with('{') => {
            of_jwk(json).map_err(|reason| ConfigError::new(format!("JWK not usable: {reason}")))
        }
        _ => of_der(text),
    }
}

fn of_der(der: &[u8]) -> Result<Parts, ConfigError> {
    if let Some(material) = der::rsa_public_key(der) {
        return Ok(Parts::of(&material));
    }
    let material = der::public_key(der).map_err(|error| match error {
        DerError::Kind(kind) => ConfigError::new(kind),
        DerError::Malformed => ConfigError::new(
            "the public key of the signer is neither PEM, nor DER (SubjectPublicKeyInfo), nor a JWK",
        ),
    })?;
    Ok(Parts::of(&material))
}

fn of_jwk(json: &str) -> Result<Parts, Reason> {
    let jwk = Jwk::read(json).map_err(|unusable| unusable.reason)?;
    jwk::public_parts(&jwk)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use spki::der::{Encode, asn1::UintRef};

    use super::*;
    use crate::{crypto, token_service::SigningKey};

    /// What a signer makes of a signature.
    type Change = fn(Vec<u8>) -> BoxFuture<Result<Vec<u8>, StoreError>>;

    struct Elsewhere {
        key: crypto::SigningKey,
        change: Change,
    }

    impl Signer for Elsewhere {
        fn sign(&self, message: &[u8]) -> BoxFuture<Result<Vec<u8>, StoreError>> {
            (self.change)(self.key.sign(message).unwrap())
        }
    }

    fn same(signature: Vec<u8>) -> BoxFuture<Result<Vec<u8>, StoreError>> {
        Box::pin(async { Ok(signature) })
    }

    fn in_der(signature: Vec<u8>) -> BoxFuture<Result<Vec<u8>, StoreError>> {
        let (r, s) = signature.split_at(signature.len() / 2);
        let mut numbers = UintRef::new(r).unwrap().to_der().unwrap();
        numbers.extend(UintRef::new(s).unwrap().to_der().unwrap());
        let mut der = vec![0x30];
        der.extend(
            spki::der::Length::try_from(numbers.len())
                .unwrap()
                .to_der()
                .unwrap(),
        );
        der.extend(numbers);
        same(der)
    }

    async fn signed(
        algorithm: Algorithm,
        other_key: bool,
        change: Change,
    ) -> Result<(), StoreError> {
        let key = crypto::SigningKey::generate(algorithm).unwrap();
        let public = key.public_jwk(Some("1"));
        let verifying = VerifyingKey::new(algorithm, &key.material()).unwrap();
        let key = if other_key {
            crypto::SigningKey::generate(algorithm).unwrap()
        } else {
            key
        };
        let signer = Elsewhere { key, change };
        let key = SigningKey::from_signer(algorithm, public.to_string(), signer).unwrap();
        let error = key.to_pem().unwrap_err().to_string();
        assert!(error.contains("its signer has it"), "{error}");
        let token = key
            .sign(&json!({ "sub": "x" }), Duration::from_secs(5))
            .await?;
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = base64_simd::URL_SAFE_NO_PAD
            .decode_to_vec(signature)
            .unwrap();
        assert!(verifying.verify(input.as_bytes(), &signature));
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_signature_that_the_public_key_verifies_is_taken_in_both_forms_and_no_other_is() {
        for algorithm in [
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::ES512,
            Algorithm::EdDSA,
            Algorithm::PS256,
        ] {
            signed(algorithm, false, same).await.unwrap();
            if algorithm.as_str().starts_with("ES") {
                // Numbers with and without leading zeros.
                for _ in 0..20 {
                    signed(algorithm, false, in_der).await.unwrap();
                }
                signed(algorithm, true, in_der).await.unwrap_err();
            }
            for (other_key, change, said) in [
                (true, same as Change, "does not verify"),
                (false, |_| same(Vec::new()), "does not verify"),
                (false, |_| same(vec![0x30, 0x80]), "does not verify"),
                (
                    false,
                    |_| Box::pin(async { Err(StoreError::new("refused")) }),
                    "refused",
                ),
                (false, |_| Box::pin(std::future::pending()), "in time"),
            ] {
                let error = signed(algorithm, other_key, change)
                    .await
                    .unwrap_err()
                    .to_string();
                assert!(error.contains(said), "{algorithm}: {error}");
            }
        }
    }

    #[test]
    fn the_public_key_of_a_signer_is_read_in_every_form_that_services_have() {
        const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
             MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
             6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n\
             -----END PUBLIC KEY-----\n";
        let key = |algorithm, public: &[u8]| {
            let key = crypto::SigningKey::generate(Algorithm::EdDSA).unwrap();
            SigningKey::from_signer(algorithm, public, Elsewhere { key, change: same })
        };
        let of_pem = key(Algorithm::ES256, PEM.as_bytes()).unwrap();
        let der = pem::read(PEM.as_bytes(), "PUBLIC KEY").unwrap().contents;
        assert_eq!(
            key(Algorithm::ES256, &der).unwrap().key_id(),
            of_pem.key_id()
        );
        let jwk: &Value = of_pem.public().jwk();
        let of_jwk = key(Algorithm::ES256, jwk.to_string().as_bytes()).unwrap();
        assert_eq!(of_jwk.public().jwk(), jwk);
        let private = include_bytes!("../../../tests/support/keys/p256.pem");
        for (algorithm, public, said) in [
            (Algorithm::ES384, PEM.as_bytes(), "ES384"),
            (Algorithm::RS256, PEM.as_bytes(), "RSA"),
            (Algorithm::HS256, PEM.as_bytes(), "ES256"),
            (Algorithm::ES256, private, "the `PUBLIC KEY` of the signer"),
            (Algorithm::ES256, b"", "neither PEM"),
            (Algorithm::ES256, b"key-1", "neither PEM"),
            (Algorithm::ES256, b"{}", "no `kty`"),
            (Algorithm::ES256, br#"{"kty":"oct","k":""}"#, "neither RSA"),
        ] {
            let error = key(algorithm, public).unwrap_err().to_string();
            assert!(error.contains(said), "{algorithm}: {error}");
        }
    }
}
