//! One JSON Web Key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Key;
use crate::{
    algorithm::Algorithm,
    crypto::{Curve, KeyError, Material, VerifyingKey, shortest_secret},
    json::{self, Text},
};

/// A JWK that cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) key_id: Option<String>,
    pub(crate) reason: Reason,
}

pub(crate) type Reason = Cow<'static, str>;

/// The members that only a private key has (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2), and the secret
/// of a symmetric one.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

const OF_RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const OF_SECRETS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

pub(super) fn parse(json: &str) -> Result<Key, Unusable> {
    Jwk::read(json)?.into_key()
}

pub(crate) struct Jwk<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

type Entries = Vec<(Algorithm, VerifyingKey)>;

impl<'a> Jwk<'a> {
    /// Reads the members. Those that are `null` count as absent: many libraries write all members
    /// that they know.
    pub(crate) fn read(json: &'a str) -> Result<Self, Unusable> {
        let unusable = |reason: &'static str| Unusable {
            key_id: None,
            reason: reason.into(),
        };
        let json = json::without_bom(json);
        if !json::is_shallow(json) {
            return Err(unusable("nested too deeply"));
        }
        let members = json::object(json);
        let mut members =
            members.ok_or_else(|| unusable("not a JSON object, or one with a member twice"))?;
        members.retain(|(_, value)| value.get() != "null");
        Ok(Self(members))
    }

    pub(super) fn into_key(self) -> Result<Key, Unusable> {
        let key_id = self.text("kid");
        let named = key_id.as_ref().ok().cloned().flatten().map(Cow::into_owned);
        key_id
            .and_then(|_| self.key())
            .map(|entries| Key::assemble(named.clone(), entries))
            .map_err(|reason| Unusable {
                key_id: named,
                reason,
            })
    }

    /// The same for a key that somebody publishes, which no secret can be.
    #[cfg(feature = "jwks")]
    pub(super) fn into_public_key(self) -> Result<Key, Unusable> {
        match self.text("kty") {
            Ok(Some(kind)) if kind == "oct" => Err(Unusable {
                key_id: self.text("kid").ok().flatten().map(Cow::into_owned),
                reason: "a symmetric key, which whoever reads it could sign with".into(),
            }),
            _ => self.into_key(),
        }
    }

    /// What makes it this key, to be compared: two spellings of one key may differ, two keys do.
    #[cfg(feature = "jwks")]
    pub(super) fn identity(&self) -> Box<str> {
        let mut identity = String::new();
        for name in ["kid", "kty", "alg", "crv", "n", "e", "x", "y"] {
            identity.push_str(self.member(name).map_or("", RawValue::get));
            identity.push('\n');
        }
        identity.into_boxed_str()
    }

    /// The key for each of its algorithms.
    fn key(&self) -> Result<Entries, Reason> {
        self.is_for("verify")?;
        let algorithm = self.algorithm()?;
        let kind = match self.text("kty")? {
            Some(kind) => kind,
            None if self.member("keys").is_some() => {
                return Err("a JWK Set; use KeySet::from_json".into());
            }
            None => return Err("no `kty`".into()),
        };
        if kind != "oct"
            && let Some(name) = PRIVATE.into_iter().find(|name| self.member(name).is_some())
        {
            return Err(format!(
                "the member `{name}` of a private key, which a verifier must not have; leave the \
                 private members out"
            )
            .into());
        }
        let entries = match &*kind {
            "RSA" => {
                let (n, e) = (self.bytes("n")?, self.bytes("e")?);
                entries(&Material::Rsa { n: &n, e: &e }, algorithm, &OF_RSA)
            }
            "EC" => {
                let curve = self.curve()?;
                let point = self.point(curve)?;
                let material = Material::Ec {
                    curve,
                    point: &point,
                };
                entries(&material, algorithm, &[curve.algorithm()])
            }
            "OKP" => {
                match self.required("crv")? {
                    crv if crv == "Ed25519" => {}
                    crv => return Err(unknown("crv", &crv)),
                }
                let point = self.bytes("x")?;
                entries(&Material::Ed25519(&point), algorithm, &[Algorithm::EdDSA])
            }
            "oct" => {
                let secret = self.bytes("k")?;
                // Those for which it is long enough; if for none, the error of the first.
                let count = OF_SECRETS
                    .into_iter()
                    .filter_map(shortest_secret)
                    .filter(|&length| length <= secret.len())
                    .count();
                let fitting = OF_SECRETS.get(..count.max(1)).unwrap_or_default();
                entries(&Material::Hmac(&secret), algorithm, fitting)
            }
            kind => return Err(unknown("kty", kind)),
        };
        entries.map_err(|error| error.to_string().into())
    }

    /// Whether it may be used for the operation, `verify` or `sign` (RFC 7517 §4.2 and §4.3).
    pub(crate) fn is_for(&self, operation: &str) -> Result<(), Reason> {
        match self.text("use")? {
            None => {}
            Some(purpose) if purpose == "sig" => {}
            Some(purpose) => {
                return Err(format!("`use` is {}, not \"sig\"", shown(&purpose)).into());
            }
        }
        if let Some(operations) = self.value::<Vec<Text<'_>>>("key_ops", "an array of strings")?
            && !operations.iter().any(|listed| listed.0 == operation)
        {
            return Err(format!("`key_ops` is without {operation:?}").into());
        }
        Ok(())
    }

    /// RFC 7517 §4.4. The algorithms of encryption are unknown here, which is as it should be.
    pub(crate) fn algorithm(&self) -> Result<Option<Algorithm>, Reason> {
        match self.text("alg")? {
            None => Ok(None),
            Some(name) => match Algorithm::from_name(&name) {
                Some(algorithm) => Ok(Some(algorithm)),
                None => Err(unknown("alg", &name)),
            },
        }
    }

    pub(crate) fn curve(&self) -> Result<Curve, Reason> {
        let name = self.required("crv")?;
        [Curve::P256, Curve::P384, Curve::P521]
            .into_iter()
            .find(|curve| name == curve.as_str())
            .ok_or_else(|| unknown("crv", &name))
    }

    /// The point in the uncompressed form. Each coordinate has the full length of the field,
    /// leading zeros included (RFC 7518 §6.2.1.2).
    pub(crate) fn point(&self, curve: Curve) -> Result<Vec<u8>, Reason> {
        let length = curve.field_length();
        let mut point = vec![4];
        for name in ["x", "y"] {
            let coordinate = self.bytes(name)?;
            if coordinate.len() != length {
                return Err(format!(
                    "`{name}` of {} bytes; those of {} have {length} (RFC 7518 §6.2.1.2)",
                    coordinate.len(),
                    curve.as_str()
                )
                .into());
            }
            point.extend(coordinate);
        }
        Ok(point)
    }

    /// A member in base64url without padding (RFC 7515 §2).
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, Reason> {
        let text = self.required(name)?;
        base64_simd::URL_SAFE_NO_PAD
            .decode_to_vec(text.as_bytes())
            .map_err(|_| format!("`{name}` is not base64url without padding").into())
    }

    pub(crate) fn required(&self, name: &str) -> Result<Cow<'a, str>, Reason> {
        self.text(name)?
            .ok_or_else(|| format!("no `{name}`").into())
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Reason> {
        Ok(self.value::<Text<'a>>(name, "a string")?.map(|text| text.0))
    }

    pub(crate) fn value<T: Deserialize<'a>>(
        &self,
        name: &str,
        kind: &str,
    ) -> Result<Option<T>, Reason> {
        self.member(name)
            .map(|value| serde_json::from_str(value.get()))
            .transpose()
            .map_err(|_| format!("`{name}` is not {kind}").into())
    }

    pub(crate) fn member(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| *value)
    }
}

/// The key for the algorithm that it names, or for all that fit.
fn entries(
    material: &Material<'_>,
    named: Option<Algorithm>,
    fitting: &[Algorithm],
) -> Result<Entries, KeyError> {
    let named = named.as_ref().map(std::slice::from_ref);
    named
        .unwrap_or(fitting)
        .iter()
        .map(|&algorithm| Ok((algorithm, VerifyingKey::new(algorithm, material)?)))
        .collect()
}

fn unknown(member: &str, value: &str) -> Reason {
    format!("`{member}` is {}, which is not supported", shown(value)).into()
}

/// What others wrote, fit for a log line: escaped, and not long.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
