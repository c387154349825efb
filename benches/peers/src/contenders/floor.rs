//! The floor: the signature of the same bytes by a prepared key, and nothing else.

use std::{
    error::Error,
    hint::black_box,
    pin::Pin,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    hmac,
    signature::{self, RsaPublicKeyComponents},
};
use http::header::AUTHORIZATION;
use tower::Service;
use tower_bearer::Algorithm;

use super::{Batch, SECRET, Tokens, inner};
use crate::{
    measure::Requests,
    tokens::{Case, POOL},
};

type Verify = Box<dyn Fn(&[u8], &[u8]) -> bool>;

pub fn signature(tokens: &Tokens) -> Result<Box<dyn Batch>, Box<dyn Error>> {
    let jwk = tokens.jwk()?;
    let bytes = |name: &str| {
        base64_simd::URL_SAFE_NO_PAD.decode_to_vec(jwk[name].as_str().unwrap_or_default())
    };
    let verify: Verify = match tokens.algorithm() {
        Algorithm::HS256 => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            Box::new(move |message, tag| hmac::verify(&key, message, tag).is_ok())
        }
        Algorithm::RS256 => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            let key = RsaPublicKeyComponents { n: &n, e: &e }
                .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256)
                .map_err(|_| "key")?;
            Box::new(move |message, signature| key.verify_sig(message, signature).is_ok())
        }
        Algorithm::ES256 => {
            let point = [vec![4], bytes("x")?, bytes("y")?].concat();
            let key = signature::ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)?;
            Box::new(move |message, signature| key.verify_sig(message, signature).is_ok())
        }
        _ => {
            let key = signature::ParsedPublicKey::new(&signature::ED25519, bytes("x")?)?;
            Box::new(move |message, signature| key.verify_sig(message, signature).is_ok())
        }
    };
    // Of the same tokens in the same order, decoded beforehand: how long a signature takes also depends on
    // its bytes.
    let mut signed = Vec::new();
    for number in 0..POOL {
        let token = tokens.of(Case::Valid, number).unwrap_or_default();
        let (message, signature) = token.rsplit_once('.').unwrap_or_default();
        let signature = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(signature)?;
        signed.push((message.to_owned(), signature));
    }
    Ok(Box::new(Floor { verify, signed }))
}

struct Floor {
    verify: Verify,
    signed: Vec<(String, Vec<u8>)>,
}

impl Batch for Floor {
    fn run(&mut self, requests: Requests) -> Pin<Box<dyn Future<Output = (Duration, u16)> + '_>> {
        Box::pin(async move {
            let mut inner = inner();
            let start = Instant::now();
            for (number, request) in requests {
                if let Some((message, signature)) = self.signed.get(number % POOL)
                    && request.headers().contains_key(AUTHORIZATION)
                {
                    black_box((self.verify)(message.as_bytes(), signature));
                }
                let Ok(response) = inner.call(request).await;
                drop(response);
            }
            (start.elapsed(), 200)
        })
    }
}
