//! What is known once a token is verified: [`Claims`], and the [`Epoch`]s that it rests on.
//!
//! The claims that the standards name are in [`registered`]; the axum extractor is in `extract`.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::StatusCode;

use crate::{clock::NumericDate, reject::Problem};

#[cfg(feature = "axum")]
mod extract;
mod registered;

#[cfg(feature = "axum")]
pub use extract::ClaimsRejection;
pub use registered::{Confirmation, RegisteredClaims, Scopes};

/// The claims of a verified token: those that the standards name ([`registered`](Self::registered)),
/// and the user's own of type `C`, which it dereferences to.
///
/// It is a handle: a clone costs one atomic increment, whatever the claims hold. The layer puts it
/// into the extensions of the request, where handlers find it; with the feature `axum` it is an
/// extractor too.
///
/// ```
/// use tower_bearer::Claims;
///
/// struct Tenant {
///     plan: &'static str,
/// }
///
/// let claims = Claims::builder()
///     .subject("alice")
///     .scope("read write")
///     .build(Tenant { plan: "gold" });
///
/// assert_eq!(claims.registered().subject(), Some("alice"));
/// assert!(claims.registered().scopes().contains("write"));
/// assert_eq!(claims.plan, "gold");
/// ```
pub struct Claims<C = ()>(Arc<Inner<C>>);

// In this order in memory, beside the count of the handles: what each use of claims that were kept asks
// first (until when they are good, and whether they are bound) comes in one cache line, texts after it.
#[repr(C)]
struct Inner<C> {
    verdict: Verdict,
    custom: C,
}

/// All but the user's part, so that [`Verifier::map_claims`](crate::Verifier::map_claims) can keep it.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Verdict {
    valid_until: Option<NumericDate>,
    // Nearly always two, the key's and the issuer's, which so cost no allocation.
    epochs: [Option<Epoch>; 2],
    #[allow(
        clippy::box_collection,
        reason = "one word, for what is hardly ever there"
    )]
    more_epochs: Option<Box<Vec<Epoch>>>,
    registered: RegisteredClaims,
    // What the user's part takes on the heap, in bytes, if whoever made it knows.
    #[cfg_attr(not(feature = "cache"), allow(dead_code, reason = "asked by a cache"))]
    custom_bytes: Option<usize>,
}

impl<C> Claims<C> {
    /// Claims of which nothing is known but the user's part: no subject, no scope, no end. See
    /// [`builder`](Claims::builder) for more.
    pub fn new(custom: C) -> Self {
        Verdict::default().with(custom)
    }

    /// The claims that the standards name.
    pub fn registered(&self) -> &RegisteredClaims {
        &self.0.verdict.registered
    }

    /// When the verdict ends: the `exp` of a token and the leeway that it is granted, or what the
    /// verifier says. `None` if it has no end of its own.
    ///
    /// The token is refused from this second on.
    pub fn valid_until(&self) -> Option<NumericDate> {
        self.0.verdict.valid_until
    }

    /// Whether the verdict still stands: `now` is before [`valid_until`](Self::valid_until), and no
    /// [`Epoch`] that it rests on has ended. Whoever keeps claims for longer than a request, such as
    /// a cache or a WebSocket, asks this before each use.
    pub fn is_current(&self, now: NumericDate) -> bool {
        let verdict = &self.0.verdict;
        verdict.valid_until.is_none_or(|end| now < end)
            && verdict.epochs.iter().flatten().all(Epoch::is_current)
            && verdict
                .more_epochs
                .iter()
                .flat_map(|more| more.iter())
                .all(Epoch::is_current)
    }

    /// Claims from their parts, none of which is copied. With the user's part comes what it takes on the
    /// heap, in bytes.
    #[cfg(all(feature = "jwt", feature = "_crypto"))]
    pub(crate) fn from_parts(
        registered: RegisteredClaims,
        valid_until: Option<NumericDate>,
        epochs: [Epoch; 2],
        (custom, custom_bytes): (C, usize),
    ) -> Self {
        let verdict = Verdict {
            registered,
            valid_until,
            epochs: epochs.map(Some),
            more_epochs: None,
            custom_bytes: Some(custom_bytes),
        };
        verdict.with(custom)
    }

    /// What the user's part takes on the heap, in bytes, if whoever made it knows.
    #[cfg(feature = "cache")]
    pub(crate) fn custom_bytes(&self) -> Option<usize> {
        self.0.verdict.custom_bytes
    }

    /// What all but that takes, in bytes.
    #[cfg(feature = "cache")]
    pub(crate) fn own_bytes(&self) -> usize {
        let verdict = &self.0.verdict;
        let epochs = verdict.more_epochs.as_ref().map_or(0, |more| {
            size_of::<Vec<Epoch>>()
                .saturating_add(more.capacity().saturating_mul(size_of::<Epoch>()))
        });
        // The count of handles is two words.
        size_of::<Inner<C>>()
            .saturating_add(2 * size_of::<usize>())
            .saturating_add(verdict.registered.heap_bytes())
            .saturating_add(epochs)
    }

    /// The same verdict with another user's part. Copies nothing if these are the only claims.
    pub(crate) fn try_map<D, E>(self, f: impl FnOnce(&C) -> Result<D, E>) -> Result<Claims<D>, E> {
        let custom = f(&self.0.custom)?;
        let verdict = match Arc::try_unwrap(self.0) {
            Ok(inner) => inner.verdict,
            Err(shared) => shared.verdict.clone(),
        };
        Ok(verdict.with(custom))
    }
}

impl Claims {
    /// Builds claims, for a verifier of one's own or a test.
    pub fn builder() -> ClaimsBuilder {
        ClaimsBuilder::default()
    }
}

impl Verdict {
    fn with<C>(self, custom: C) -> Claims<C> {
        Claims(Arc::new(Inner {
            verdict: self,
            custom,
        }))
    }
}

impl<C> Clone for Claims<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Deref for Claims<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0.custom
    }
}

impl<C: fmt::Debug> fmt::Debug for Claims<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("registered", &self.0.verdict.registered)
            .field("valid_until", &self.0.verdict.valid_until)
            .field("custom", &self.0.custom)
            .finish_non_exhaustive()
    }
}

/// Builds [`Claims`]. Whatever is not set is absent.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClaimsBuilder(Verdict);

impl ClaimsBuilder {
    /// `iss`: who issued the token (RFC 7519 §4.1.1).
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.0.registered.set_issuer(issuer);
        self
    }

    /// `sub`: whom the token speaks of (RFC 7519 §4.1.2).
    pub fn subject(mut self, subject: &str) -> Self {
        self.0.registered.set_subject(subject);
        self
    }

    /// `aud`: whom the token is meant for (RFC 7519 §4.1.3). Adds one, each time it is called.
    pub fn audience(mut self, audience: &str) -> Self {
        self.0.registered.add_audience(audience);
        self
    }

    /// `client_id`: the client that the token was issued to (RFC 8693 §4.3).
    pub fn client_id(mut self, client_id: &str) -> Self {
        self.0.registered.set_client_id(client_id);
        self
    }

    /// `jti`: the token's own identifier (RFC 7519 §4.1.7).
    pub fn id(mut self, id: &str) -> Self {
        self.0.registered.set_id(id);
        self
    }

    /// `scope`: what the token allows, separated by spaces (RFC 6749 §3.3, RFC 8693 §4.2).
    pub fn scope(mut self, scope: &str) -> Self {
        self.0.registered.set_scope(std::iter::once(scope));
        self
    }

    /// `exp`: when the token expires (RFC 7519 §4.1.4). The verdict ends then too, unless
    /// [`valid_until`](Self::valid_until) says otherwise.
    pub fn expires_at(mut self, date: NumericDate) -> Self {
        self.0.registered.expires_at = Some(date);
        self
    }

    /// `nbf`: before when the token is not to be used (RFC 7519 §4.1.5).
    pub fn not_before(mut self, date: NumericDate) -> Self {
        self.0.registered.not_before = Some(date);
        self
    }

    /// `iat`: when the token was issued (RFC 7519 §4.1.6).
    pub fn issued_at(mut self, date: NumericDate) -> Self {
        self.0.registered.issued_at = Some(date);
        self
    }

    /// Sets `cnf`, the key that the token is bound to (RFC 7800 §3.1). The layer lets such a
    /// token pass only if its checks [confirm](crate::Check::confirms) each of its methods.
    pub fn confirmation(mut self, confirmation: Confirmation) -> Self {
        self.0.registered.confirmation = Some(Box::new(confirmation));
        self
    }

    /// When the verdict ends, such as `exp` and a leeway.
    pub fn valid_until(mut self, date: NumericDate) -> Self {
        self.0.valid_until = Some(date);
        self
    }

    /// Something that the verdict rests on: when the epoch ends, so does the verdict. Adds one, each
    /// time it is called.
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        match self.0.epochs.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(epoch),
            None => self.0.more_epochs.get_or_insert_default().push(epoch),
        }
        self
    }

    /// The claims, with the user's part.
    pub fn build<C>(mut self, custom: C) -> Claims<C> {
        self.0.valid_until = self.0.valid_until.or(self.0.registered.expires_at);
        self.0.with(custom)
    }
}

/// The problem of a service that asks for claims where none can be: the stack is put together wrongly,
/// which is nobody's fault but the server's.
pub(crate) fn claims_not_found<C>() -> Problem {
    let claims = std::any::type_name::<Claims<C>>();
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR).detail(format!(
        "`{claims}` is not in the extensions of this request: put a `BearerAuthLayer` around the route, \
         whose verifier gives claims of this very type"
    ))
}

/// A time during which something holds that verdicts rest on: a key, a key set, a configuration.
///
/// Clones are the same epoch. Ending it ends every verdict that carries it, wherever it is kept, at
/// its next use; nobody has to find them.
///
/// ```
/// use tower_bearer::{Claims, Epoch, NumericDate};
///
/// let key = Epoch::new();
/// let claims = Claims::builder().epoch(key.clone()).build(());
/// assert!(claims.is_current(NumericDate::from_secs(0)));
///
/// key.end(); // the key was withdrawn
/// assert!(!claims.is_current(NumericDate::from_secs(0)));
/// ```
#[derive(Clone, Default)]
pub struct Epoch(Arc<AtomicBool>);

impl Epoch {
    /// An epoch that has begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends it, for good.
    pub fn end(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it goes on.
    pub fn is_current(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_current() {
            "current"
        } else {
            "ended"
        };
        write!(f, "Epoch({state})")
    }
}
