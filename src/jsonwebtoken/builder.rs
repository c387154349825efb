//! Builds a [`JsonWebTokenVerifier`], or says what is wrong with the `Validation` or a key.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use ::jsonwebtoken::{DecodingKey, Validation};

use super::{JsonWebTokenVerifier, key, rules::Rules};
use crate::{
    clock::Clock,
    error::ConfigError,
    verify::jwt::{JwtVerifier, JwtVerifierBuilder},
};

/// Builds a [`JsonWebTokenVerifier`].
#[must_use]
pub struct JsonWebTokenVerifierBuilder<C = ()> {
    validation: Validation,
    keys: Vec<(Option<String>, DecodingKey)>,
    jwt: JwtVerifierBuilder<C>,
}

impl<C> JsonWebTokenVerifierBuilder<C> {
    pub(super) fn new(validation: Validation) -> Self {
        Self {
            validation,
            keys: Vec::new(),
            jwt: JwtVerifier::builder(),
        }
    }

    /// Adds a key that is tried for every token, whatever its `kid`.
    pub fn key(mut self, key: DecodingKey) -> Self {
        self.keys.push((None, key));
        self
    }

    /// Adds a key for tokens whose `kid` equals `key_id`, and for tokens without a `kid`.
    ///
    /// At most four keys are tried for one token.
    pub fn key_with_id(mut self, key_id: impl Into<String>, key: DecodingKey) -> Self {
        self.keys.push((Some(key_id.into()), key));
        self
    }

    /// Sets the values that the `typ` of the header may have, compared in any case and with or without
    /// `application/` (RFC 7515 §4.1.9). The token must then have one.
    ///
    /// The default is `JWT`, `at+jwt` or none, so that an ID token's siblings such as logout tokens and DPoP
    /// proofs are not accepted as access tokens (RFC 8725 §3.11).
    pub fn token_types<'a>(mut self, types: impl IntoIterator<Item = &'a str>) -> Self {
        self.jwt = self.jwt.token_types(types);
        self
    }

    /// Sets the clock by which tokens expire. The default is the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.jwt = self.jwt.clock(clock);
        self
    }

    /// Builds the verifier.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if there is no key, if a key fits none of the `algorithms` or is too weak,
    /// or if the validation can accept no token (an empty list of algorithms, issuers or audiences).
    pub fn build(self) -> Result<JsonWebTokenVerifier<C>, ConfigError> {
        let validation = self.validation;
        let rules = Rules::new(&validation);
        if validation.algorithms.is_empty() {
            return Err(ConfigError::new(
                "the validation lists no algorithm: name one in its `algorithms`",
            ));
        }
        let listed = validation.algorithms.iter().copied();
        let allowed = listed.map(key::algorithm).collect::<Result<Vec<_>, _>>()?;

        let mut jwt = self.jwt;
        if self.keys.is_empty() {
            return Err(ConfigError::new(
                "there is no key to verify tokens with: add one by `key` or `key_with_id`",
            ));
        }
        for (key_id, decoding_key) in &self.keys {
            let key = key::bind(decoding_key, &allowed)?;
            jwt = jwt.key(match key_id {
                Some(key_id) => key.with_key_id(key_id),
                None => key,
            });
        }
        jwt = match validation.iss {
            Some(issuers) => sorted("iss", "issuer", issuers)?
                .into_iter()
                .fold(jwt, JwtVerifierBuilder::issuer),
            None => jwt.any_issuer(),
        };
        jwt = match validation.aud {
            Some(audiences) if validation.validate_aud => sorted("aud", "audience", audiences)?
                .into_iter()
                .fold(jwt, JwtVerifierBuilder::audience),
            // Audiences are validated, but none is ours.
            None if validation.validate_aud => jwt.any_audience().audience_rejected(),
            _ => jwt.any_audience(),
        };
        if !validation.required_spec_claims.contains("exp") {
            jwt = jwt.expiry_optional();
        }
        if !validation.validate_exp {
            jwt = jwt.expiry_ignored();
        }
        let seconds = Duration::from_secs;
        let jwt = jwt
            .any_leeway(seconds(validation.leeway))
            .expiry_margin(seconds(validation.reject_tokens_expiring_in_less_than))
            .build()?;
        Ok(JsonWebTokenVerifier {
            jwt,
            rules: Arc::new(rules),
        })
    }
}

/// The names in an order that does not change from run to run, in which errors show them.
fn sorted(field: &str, what: &str, names: HashSet<String>) -> Result<Vec<String>, ConfigError> {
    if names.is_empty() {
        return Err(ConfigError::new(format!(
            "the `{field}` of the validation is an empty set, which no token can satisfy: name the \
             {what}, or set it to `None`"
        )));
    }
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_unstable();
    Ok(names)
}

impl<C> fmt::Debug for JsonWebTokenVerifierBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonWebTokenVerifierBuilder")
            .field("validation", &self.validation)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}
