//! The reasons that the crate gives, for logs, metrics and tests. They are constants of low cardinality,
//! fit for the `error.type` of a metric.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $text;)+
    };
}

reasons! {
    /// No credentials, or those of another scheme.
    TOKEN_MISSING = "token_missing";
    /// Not a b64token of RFC 6750 §2.1, or not a JWS in compact form.
    TOKEN_MALFORMED = "token_malformed";
    /// Longer than [`BearerToken::MAX_LENGTH`](crate::BearerToken::MAX_LENGTH).
    TOKEN_TOO_LARGE = "token_too_large";
    /// More than one `Authorization` line, or a token in more than one place.
    TOKEN_REPEATED = "token_repeated";
    /// A token that no verifier knows.
    TOKEN_UNKNOWN = "token_unknown";
    /// Past its `exp` and the leeway.
    TOKEN_EXPIRED = "token_expired";
    /// Before its `nbf`, less the leeway.
    TOKEN_NOT_YET_VALID = "token_not_yet_valid";
    /// Revoked before its expiry.
    TOKEN_REVOKED = "token_revoked";
    /// Whether it was revoked cannot be found out now.
    REVOCATIONS_UNAVAILABLE = "revocations_unavailable";
    /// Bound to a key or certificate that no check confirmed (`cnf`, RFC 7800 §3).
    TOKEN_BOUND = "token_bound";
    /// The JOSE header is no JSON object, has a member twice, or one of a wrong type.
    HEADER_MALFORMED = "header_malformed";
    /// A critical extension (`crit`, RFC 7515 §4.1.11) or `zip`, of which none is understood.
    HEADER_UNSUPPORTED = "header_unsupported";
    /// A `typ` that is not that of an access token.
    TYPE_MISMATCH = "type_mismatch";
    /// An `alg` that is not on the list.
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed";
    /// No key of that `kid` and `alg`.
    KEY_UNKNOWN = "key_unknown";
    /// The keys of the issuer cannot be had now, and one of them might confirm the token.
    KEYS_UNAVAILABLE = "keys_unavailable";
    /// A signature that no key confirms.
    SIGNATURE_INVALID = "signature_invalid";
    /// The claims are no JSON object, have a member twice, or one of a wrong type.
    CLAIMS_MALFORMED = "claims_malformed";
    /// A claim that must be there is not.
    CLAIM_MISSING = "claim_missing";
    /// An `iss` other than the configured.
    ISSUER_MISMATCH = "issuer_mismatch";
    /// An `aud` without any of the configured.
    AUDIENCE_MISMATCH = "audience_mismatch";
    /// A `sub` other than the configured.
    SUBJECT_MISMATCH = "subject_mismatch";
    /// A verdict that ended between being given and being used: its key was withdrawn, or it expired.
    VERDICT_ENDED = "verdict_ended";
    /// The verifier panicked.
    VERIFIER_PANICKED = "verifier_panicked";
    /// The verifier waits for its own verdict: it asked the cache that it is in.
    VERIFIER_AWAITS_ITSELF = "verifier_awaits_itself";
    /// A scope that is needed is not there.
    INSUFFICIENT_SCOPE = "insufficient_scope";
    /// The user must authenticate anew or more strongly.
    INSUFFICIENT_USER_AUTHENTICATION = "insufficient_user_authentication";
}
