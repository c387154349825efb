//! The tokens that all are given: about 800 bytes, 13 claims, and what is wrong with some.

use std::{error::Error, fmt};

use serde::Deserialize;
use serde_json::{Value, json};
use tower_bearer::{Algorithm, testing::Issuer};

pub const ISSUER: &str = "https://login.example.com/realms/main";
pub const AUDIENCE: &str = "https://api.example.com";
/// A secret for HS256 that every peer can be given, also one that takes only text.
pub const SECRET: &str = "a secret of sixty-four characters, for measuring and nothing else";

pub const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::HS256,
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

/// How many distinct tokens there are for "first seen".
pub const POOL: usize = 256;

/// What all of them read from a token.
#[derive(Clone, Debug, Deserialize)]
#[allow(dead_code)]
pub struct Profile {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub exp: u64,
    pub iat: u64,
    pub jti: String,
    pub client_id: String,
    pub scope: String,
    pub email: String,
    pub name: String,
    pub tenant: String,
    pub roles: Vec<String>,
    pub session: String,
}

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Valid,
    Repeated,
    Missing,
    Garbage,
    Expired,
    Forged,
}

impl Case {
    pub const ALL: [Self; 6] = [
        Self::Valid,
        Self::Repeated,
        Self::Missing,
        Self::Garbage,
        Self::Expired,
        Self::Forged,
    ];

    /// The status that it must be answered with.
    pub const fn status(self) -> u16 {
        match self {
            Self::Valid | Self::Repeated => 200,
            _ => 401,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid, first seen",
            Self::Repeated => "valid, repeated",
            Self::Missing => "missing",
            Self::Garbage => "garbage",
            Self::Expired => "expired",
            Self::Forged => "bad signature",
        })
    }
}

pub struct Tokens {
    pub issuer: Issuer,
    valid: Vec<String>,
    expired: String,
    forged: String,
}

impl Tokens {
    pub fn new(algorithm: Algorithm) -> Result<Self, Box<dyn Error>> {
        let issuer = match algorithm {
            Algorithm::HS256 => Issuer::from_secret(ISSUER, algorithm, SECRET)?,
            _ => Issuer::new(ISSUER, algorithm)?,
        }
        .with_key_id("2026-11");
        let valid = (0..POOL)
            .map(|number| issuer.token(&claims(number, 4_000_000_000)))
            .collect::<Result<Vec<_>, _>>()?;
        let expired = issuer.token(&claims(0, 1_700_000_000))?;
        let (signed, _) = valid[0].rsplit_once('.').unwrap_or_default();
        let (_, signature) = expired.rsplit_once('.').unwrap_or_default();
        let forged = format!("{signed}.{signature}");
        Ok(Self {
            issuer,
            valid,
            expired,
            forged,
        })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.issuer.algorithm()
    }

    /// The only key of the set that the issuer publishes.
    pub fn jwk(&self) -> Result<Value, Box<dyn Error>> {
        let set: Value = serde_json::from_str(&self.issuer.public_key_set())?;
        Ok(set["keys"][0].clone())
    }

    /// The token of the request of this number.
    pub fn of(&self, case: Case, number: usize) -> Option<&str> {
        match case {
            Case::Valid => self.valid.get(number % POOL).map(String::as_str),
            Case::Repeated => self.valid.first().map(String::as_str),
            Case::Missing => None,
            Case::Garbage => Some("bm90IGEgaGVhZGVy.bm9yIGNsYWltcw.bm9yIGEgc2lnbmF0dXJl"),
            Case::Expired => Some(&self.expired),
            Case::Forged => Some(&self.forged),
        }
    }
}

fn claims(number: usize, exp: u64) -> Value {
    json!({
        "iss": ISSUER,
        "sub": "3f2c5e9a-7d1b-4c8e-9f60-1a2b3c4d5e6f",
        "aud": AUDIENCE,
        "exp": exp,
        "iat": 1_699_999_000,
        "jti": format!("{number:020}"),
        "client_id": "web-frontend-client",
        "scope": "read write profile email offline_access",
        "email": "alice.liddell@example.com",
        "name": "Alice Pleasance Liddell",
        "tenant": "wonderland-production",
        "roles": ["editor", "viewer", "billing"],
        "session": "8d0b7f0e-4f4f-4f0c-9a55-6d7d0cbb7f10",
    })
}
