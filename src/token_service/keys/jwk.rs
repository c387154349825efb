//! Private keys as JWKs (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2), and sets of them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, value::RawValue};
use zeroize::Zeroizing;

use super::{
    key::{PublicKey, SigningKey},
    source::{Half, ScheduledKey},
};
use crate::{
    algorithm::Algorithm,
    clock::NumericDate,
    crypto::{
        self, Material, Parts, VerifyingKey,
        export::PrivateMembers,
        private::{PrivateMaterial, RsaNumbers},
    },
    verify::jwt::jwk::{Jwk, Reason, shown},
};

/// Reads a JWK Set (RFC 7517 §5) of private keys, each with `nbf`: from when it is used, in seconds since 1970, as in
/// OpenID Federation 1.0 §8.7.2. One without is used from the beginning. A former key may be without its private half.
pub(super) fn read_set(json: &str) -> Result<Vec<ScheduledKey>, Reason> {
    let set = Jwk::read(json).map_err(|unusable| unusable.reason)?;
    let keys = set.value::<Vec<&RawValue>>("keys", "an array")?;
    let keys = keys.ok_or("no JWK Set: it has no `keys`")?;
    let mut scheduled = Vec::new();
    for (place, key) in keys.into_iter().enumerate() {
        let key = Jwk::read(key.get()).map_err(|unusable| unusable.reason);
        let key = key.and_then(|jwk| scheduled_key(&jwk));
        scheduled.push(key.map_err(|reason| format!("the key {place} is not usable: {reason}"))?);
    }
    Ok(scheduled)
}

fn scheduled_key(jwk: &Jwk<'_>) -> Result<ScheduledKey, Reason> {
    let use_from = jwk.value::<u64>("nbf", "a number of seconds")?;
    let half = if jwk.member("d").is_some() {
        Half::Private(Box::new(signing_key(jwk)?))
    } else {
        Half::Public(public_key(jwk)?)
    };
    Ok(ScheduledKey {
        half,
        use_from: NumericDate::from_secs(use_from.unwrap_or_default()),
    })
}

/// The public half of a former key.
fn public_key(jwk: &Jwk<'_>) -> Result<PublicKey, Reason> {
    let algorithm = jwk.algorithm()?;
    let algorithm = algorithm.ok_or("a public key without `alg`: add that of its tokens")?;
    let parts = public_parts(jwk)?;
    VerifyingKey::new(algorithm, &parts.material()).map_err(|error| error.to_string())?;
    let id = jwk.text("kid")?;
    let key = PublicKey::of(algorithm, &parts, id.map(Cow::into_owned));
    key.map_err(|error| error.to_string().into())
}

/// What a public JWK is made of.
pub(super) fn public_parts(jwk: &Jwk<'_>) -> Result<Parts, Reason> {
    Ok(match &*jwk.required("kty")? {
        "RSA" => {
            let (n, e) = (jwk.bytes("n")?, jwk.bytes("e")?);
            Parts::of(&Material::Rsa { n: &n, e: &e })
        }
        "EC" => {
            let curve = jwk.curve()?;
            let point = jwk.point(curve)?;
            Parts::Ec { curve, point }
        }
        "OKP" if jwk.required("crv")? == "Ed25519" => Parts::Ed25519(jwk.bytes("x")?),
        _ => return Err("neither RSA, nor EC, nor OKP with Ed25519".into()),
    })
}

/// Reads a private key.
pub(super) fn read(json: &str) -> Result<SigningKey, Reason> {
    signing_key(&Jwk::read(json).map_err(|unusable| unusable.reason)?)
}

pub(super) fn signing_key(jwk: &Jwk<'_>) -> Result<SigningKey, Reason> {
    jwk.is_for("sign")?;
    let named = jwk.algorithm()?;
    let number = |name: &str| jwk.bytes(name).map(Zeroizing::new);
    let kind = jwk.required("kty")?;
    if kind != "oct" && jwk.member("d").is_none() {
        return Err("no `d`: a public key, which cannot sign".into());
    }
    let key = match &*kind {
        "RSA" => {
            if jwk.member("oth").is_some() {
                return Err(
                    "`oth`: an RSA key of more than two primes, which is not supported".into(),
                );
            }
            let Some(algorithm) = named else {
                return Err("an RSA key without `alg`: add one, such as \"alg\": \"RS256\"".into());
            };
            let (n, e) = (jwk.bytes("n")?, jwk.bytes("e")?);
            let (d, p, q) = (number("d")?, number("p")?, number("q")?);
            let (dp, dq, qi) = (number("dp")?, number("dq")?, number("qi")?);
            let numbers = RsaNumbers {
                n: &n,
                e: &e,
                d: &d,
                p: &p,
                q: &q,
                dp: &dp,
                dq: &dq,
                qi: &qi,
            };
            let numbers = numbers
                .sound()
                .ok_or("its numbers do not belong together")?;
            of(algorithm, &PrivateMaterial::Rsa(numbers))
        }
        "EC" => {
            let curve = jwk.curve()?;
            let (point, scalar) = (jwk.point(curve)?, number("d")?);
            if scalar.len() != curve.field_length() {
                return Err(format!(
                    "`d` of {} bytes; that of {} has {} (RFC 7518 §6.2.2.1)",
                    scalar.len(),
                    curve.as_str(),
                    curve.field_length()
                )
                .into());
            }
            let private = PrivateMaterial::Ec {
                curve,
                scalar,
                point: Some(&point),
            };
            of(named.unwrap_or(curve.algorithm()), &private)
        }
        "OKP" => {
            let curve = jwk.required("crv")?;
            if curve != "Ed25519" {
                return Err(format!("`crv` is {}, which is not supported", shown(&curve)).into());
            }
            let (point, seed) = (jwk.bytes("x")?, number("d")?);
            let seed = seed
                .as_slice()
                .try_into()
                .map_err(|_| "`d` is not 32 bytes")?;
            let private = PrivateMaterial::Ed25519 {
                seed: Zeroizing::new(seed),
                point: Some(&point),
            };
            of(named.unwrap_or(Algorithm::EdDSA), &private)
        }
        "oct" => return Err("a secret, which has no public key that could be published".into()),
        kind => return Err(format!("`kty` is {}, which is not supported", shown(kind)).into()),
    }?;
    Ok(match jwk.text("kid")? {
        Some(id) => key.with_key_id(id),
        None => key,
    })
}

fn of(algorithm: Algorithm, private: &PrivateMaterial<'_>) -> Result<SigningKey, Reason> {
    let key = crypto::SigningKey::from_private(algorithm, private);
    let key = key.map_err(|error| Reason::from(error.to_string()))?;
    SigningKey::of(key).map_err(|error| error.to_string().into())
}

/// Writes a key, with its private half where there is one; `None` if the public members are no object.
pub(super) fn write(
    public: &Value,
    private: Option<&PrivateMembers>,
    use_from: Option<NumericDate>,
) -> Option<Zeroizing<String>> {
    #[derive(Serialize)]
    struct Written<'a> {
        #[serde(flatten)]
        public: &'a serde_json::Map<String, Value>,
        #[serde(flatten)]
        private: Option<&'a PrivateMembers>,
        #[serde(rename = "nbf", skip_serializing_if = "Option::is_none")]
        use_from: Option<u64>,
    }

    let written = Written {
        public: public.as_object()?,
        private,
        use_from: use_from.map(NumericDate::as_secs),
    };
    // Longer than any key, so that it does not grow, which would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST));
    serde_json::to_writer(&mut *text, &written).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

/// An RSA key of 8192 bits has 7 kB of numbers in base64url.
const LONGEST: usize = 16 * 1024;
