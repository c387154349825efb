//! What a `Validation` asks of a verified token beyond what `JwtVerifier` can be told.

use ::jsonwebtoken::Validation;

use crate::{
    claims::{Claims, RegisteredClaims},
    error::{AuthError, reason},
};

/// The rules that are left once issuer, audience and times are judged.
#[derive(Debug)]
pub(super) struct Rules {
    required: Required,
    subject: Option<String>,
}

/// The claims that must be there, besides `exp`, for which `JwtVerifier` has a setting.
#[derive(Debug)]
struct Required {
    not_before: bool,
    issuer: bool,
    subject: bool,
    audience: bool,
}

impl Rules {
    pub(super) fn new(validation: &Validation) -> Self {
        let named = |claim| validation.required_spec_claims.contains(claim);
        Self {
            required: Required {
                not_before: named("nbf"),
                issuer: named("iss"),
                subject: named("sub") || validation.sub.is_some(),
                audience: named("aud"),
            },
            subject: validation.sub.clone(),
        }
    }

    /// Judges claims that `JwtVerifier` has accepted.
    pub(super) fn check<C>(
        &self,
        verdict: Result<Claims<C>, AuthError>,
    ) -> Result<Claims<C>, AuthError> {
        let claims = verdict?;
        self.judge(claims.registered())?;
        Ok(claims)
    }

    fn judge(&self, claims: &RegisteredClaims) -> Result<(), AuthError> {
        let required = &self.required;
        if (required.not_before && claims.not_before().is_none())
            || (required.issuer && claims.issuer().is_none())
            || (required.subject && claims.subject().is_none())
            || (required.audience && claims.audiences().next().is_none())
        {
            return Err(AuthError::invalid_token(reason::CLAIM_MISSING));
        }
        match &self.subject {
            Some(subject) if claims.subject() != Some(subject.as_str()) => {
                Err(AuthError::invalid_token(reason::SUBJECT_MISMATCH))
            }
            _ => Ok(()),
        }
    }
}
