//! What depends on the request, after the verdict: [`Check`], and [`RequireScopes`].

use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::{
    claims::Claims,
    error::{AuthError, ConfigError},
    reject::scope_tokens,
    token::{BearerToken, TokenSource, find},
    verify::BoxFuture,
};

/// Decides whether a request with verified claims may pass.
///
/// A [`Verifier`](crate::Verifier) sees the token alone, and what it says may be kept. A check sees
/// the request too, and is asked every time: scopes that a route needs, a tenant in the path, a list
/// of revoked tokens, a proof that the token's key is the client's.
///
/// Checks of the layer ([`BearerAuthLayer::check`](crate::BearerAuthLayer::check)) run in the order in
/// which they were added; the first that refuses decides. One for a route alone stands further in:
/// [`BearerAuthLayer::require`](crate::BearerAuthLayer::require).
///
/// ```
/// use tower_bearer::{AuthError, Check, CheckContext, Checked};
///
/// struct SameTenant;
///
/// impl Check<String> for SameTenant {
///     fn check(&self, cx: &CheckContext<'_, String>) -> Checked {
///         let tenant = cx.claims().as_str();
///         if cx.request().uri.path().starts_with(&format!("/tenants/{tenant}/")) {
///             Ok(()).into()
///         } else {
///             Err(AuthError::access_denied("other_tenant")).into()
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Check` of claims `{C}`",
    label = "cannot check `Claims<{C}>`",
    note = "a check must be for the claims that the verifier gives: `Check<{C}>`",
    note = "a closure goes into `check_fn` or `require_fn`: \
            `|cx: &CheckContext<'_, {C}>| Ok::<(), AuthError>(())`"
)]
pub trait Check<C>: Send + Sync + 'static {
    /// Decides. A check that must wait returns [`Checked::Pending`].
    fn check(&self, cx: &CheckContext<'_, C>) -> Checked;

    /// Returns whether this check proves that the client holds the key that the token is bound to
    /// by this method: the name of a member of `cnf` (RFC 7800 §3.1), such as `jkt` or
    /// `x5t#S256`.
    ///
    /// The layer asks for each member, before any check runs. A bound token passes only if each
    /// of its methods is one that some check of the layer confirms, because all of them stand for
    /// one key. The check then rejects the token in [`check`](Self::check) if the proof fails. It
    /// reads the key from
    /// [`RegisteredClaims::confirmation`](crate::RegisteredClaims::confirmation).
    ///
    /// The default confirms no method. A check must return `false` for each method that it does
    /// not know.
    ///
    /// ```
    /// use tower_bearer::{AuthError, Check, CheckContext, Checked};
    ///
    /// struct Dpop;
    ///
    /// impl<C> Check<C> for Dpop {
    ///     fn check(&self, cx: &CheckContext<'_, C>) -> Checked {
    ///         let bound = cx.claims().registered().confirmation();
    ///         match bound.and_then(|key| key.jwk_thumbprint()) {
    ///             Some(_thumbprint) => verify_the_proof(cx),
    ///             None => Ok(()).into(),
    ///         }
    ///     }
    ///
    ///     fn confirms(&self, method: &str) -> bool {
    ///         method == "jkt"
    ///     }
    /// }
    /// # fn verify_the_proof<C>(_: &CheckContext<'_, C>) -> Checked {
    /// #     Err(AuthError::invalid_token("no_proof")).into()
    /// # }
    /// # assert!(!Check::<()>::confirms(&Dpop, "x5t#S256"));
    /// ```
    fn confirms(&self, method: &str) -> bool {
        let _ = method;
        false
    }
}

impl<C, K: Check<C> + ?Sized> Check<C> for Arc<K> {
    fn check(&self, cx: &CheckContext<'_, C>) -> Checked {
        (**self).check(cx)
    }

    fn confirms(&self, method: &str) -> bool {
        (**self).confirms(method)
    }
}

/// What a [`Check`] says: there at once, or a future.
#[must_use]
pub enum Checked {
    /// The answer: the request may pass, or why it may not.
    Ready(Result<(), AuthError>),
    /// The answer will come. It is awaited for as long as it takes: give it a timeout.
    Pending(BoxFuture<Result<(), AuthError>>),
}

impl From<Result<(), AuthError>> for Checked {
    fn from(answer: Result<(), AuthError>) -> Self {
        Self::Ready(answer)
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Pending(_) => f.debug_tuple("Pending").finish_non_exhaustive(),
        }
    }
}

/// What a [`Check`] decides on.
pub struct CheckContext<'a, C> {
    claims: &'a Claims<C>,
    request: &'a Parts,
    sources: &'a [TokenSource],
}

impl<'a, C> CheckContext<'a, C> {
    pub(crate) fn new(
        claims: &'a Claims<C>,
        request: &'a Parts,
        sources: &'a [TokenSource],
    ) -> Self {
        Self {
            claims,
            request,
            sources,
        }
    }

    /// The verified claims.
    pub fn claims(&self) -> &'a Claims<C> {
        self.claims
    }

    /// The request without its body. Its credential is marked as sensitive.
    pub fn request(&self) -> &'a Parts {
        self.request
    }

    /// The credentials of the request, found again at each call. `None` further in than a layer that
    /// took them out ([`remove_token`](crate::BearerAuthLayer::remove_token)).
    pub fn credentials(&self) -> Option<Credentials<'a>> {
        let found = find::find(self.request, self.sources).ok().flatten()?;
        found.token().ok()?;
        Some(Credentials {
            raw: found.into_raw(),
        })
    }
}

impl<C> fmt::Debug for CheckContext<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URI may hold a token in its query.
        f.debug_struct("CheckContext")
            .field("method", &self.request.method)
            .field("path", &self.request.uri.path())
            .finish_non_exhaustive()
    }
}

/// The scheme of a request's credentials and its token. Its `Debug` does not show the token.
pub struct Credentials<'a> {
    raw: std::borrow::Cow<'a, [u8]>,
}

impl Credentials<'_> {
    /// The authentication scheme, by its registered name: `Bearer`. A token from another place than
    /// the `Authorization` header is of that scheme too (RFC 6750 §2).
    pub fn scheme(&self) -> &'static str {
        "Bearer"
    }

    /// The token.
    pub fn token(&self) -> BearerToken<'_> {
        // It was looked at when it was found.
        BearerToken::trusted(&self.raw)
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("scheme", &self.scheme())
            .field("token", &self.token())
            .finish()
    }
}

/// A closure as a check; see [`BearerAuthLayer::check_fn`](crate::BearerAuthLayer::check_fn).
pub(crate) struct CheckFn<F>(pub(crate) F);

impl<C, F> Check<C> for CheckFn<F>
where
    F: Fn(&CheckContext<'_, C>) -> Result<(), AuthError> + Send + Sync + 'static,
{
    fn check(&self, cx: &CheckContext<'_, C>) -> Checked {
        (self.0)(cx).into()
    }
}

/// A check for scopes. Without them the answer is 403 `insufficient_scope`, and its challenge names
/// what is needed (RFC 6750 §3.1).
///
/// ```
/// use tower_bearer::{BearerToken, BearerAuthLayer, Claims, RequireScopes, verify_fn};
///
/// # let verifier = verify_fn(|_: BearerToken<'_>| Ok(Claims::new(())));
/// let auth = BearerAuthLayer::new(verifier);
/// // For one route, further in than `auth`:
/// let admins_only = auth.require(RequireScopes::all_of(["admin"])?);
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequireScopes {
    scopes: Box<[String]>,
    all: bool,
    // Made once, and cloned for every refusal.
    error: AuthError,
}

impl RequireScopes {
    /// Every one of these scopes is needed.
    ///
    /// # Errors
    /// If there is none in the list, or one that cannot be a scope (RFC 6749 §3.3).
    pub fn all_of<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        Self::new(scopes, true)
    }

    /// One of these scopes is enough. The challenge names them all.
    ///
    /// # Errors
    /// If there is none in the list, or one that cannot be a scope (RFC 6749 §3.3).
    pub fn any_of<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        Self::new(scopes, false)
    }

    fn new<'a>(scopes: impl IntoIterator<Item = &'a str>, all: bool) -> Result<Self, ConfigError> {
        let joined = scope_tokens(scopes)?;
        Ok(Self {
            scopes: joined.split(' ').map(str::to_owned).collect(),
            all,
            error: AuthError::insufficient_scope(joined),
        })
    }
}

impl<C: 'static> Check<C> for RequireScopes {
    fn check(&self, cx: &CheckContext<'_, C>) -> Checked {
        let held = cx.claims().registered().scopes();
        let mut scopes = self.scopes.iter();
        let enough = if self.all {
            scopes.all(|scope| held.contains(scope))
        } else {
            scopes.any(|scope| held.contains(scope))
        };
        if enough {
            Checked::Ready(Ok(()))
        } else {
            Checked::Ready(Err(self.error.clone()))
        }
    }
}
