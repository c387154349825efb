//! What can be known of a key set: [`KeySetStatus`], [`KeySetHealth`], [`KeySetError`].

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use http::StatusCode;

use super::{keeper::Keeper, refresh::Shared};
use crate::{observe::Line, verify::jwt::SkippedKey};

/// Why keys could not be fetched.
///
/// `Display` gives the reason in words, for logs: one line of at most 512 characters, in which
/// control characters are escaped, and without the query of any URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetError {
    reason: &'static str,
    message: String,
    status: Option<StatusCode>,
}

impl KeySetError {
    /// The message may hold what others wrote: it becomes a single line, and not a long one
    /// (Attack 44).
    pub(super) fn new(reason: &'static str, message: impl fmt::Display) -> Self {
        Self {
            reason,
            message: Line(message).to_string(),
            status: None,
        }
    }

    pub(super) fn of_status(status: StatusCode) -> Self {
        let not_modified = status == StatusCode::NOT_MODIFIED;
        let (reason, message) = if status.is_redirection() && !not_modified {
            (
                "redirect",
                format!("answered {status}, and redirects are not followed"),
            )
        } else {
            ("status", format!("answered {status}"))
        };
        Self {
            reason,
            message,
            status: Some(status),
        }
    }

    pub(super) fn is_client_error(&self) -> bool {
        self.status.is_some_and(|status| status.is_client_error())
    }

    /// Why, in a short constant for metrics: `timeout`, `connection`, `status`, `redirect`, `too_large`,
    /// `content_encoding`, `unreadable`, `no_usable_key`, `metadata_unreadable`, `issuer_mismatch`,
    /// `function_failed`, `panic`, or `no_runtime`.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for KeySetError {}

/// A handle on a key set, to ask how it is. Made by [`RemoteKeySet::health`](super::RemoteKeySet::health).
#[derive(Clone)]
pub struct KeySetHealth {
    shared: Arc<Shared>,
    // The one who fetches is not kept alive by those who only ask.
    keeper: Weak<Keeper>,
}

impl KeySetHealth {
    pub(super) fn new(keeper: &Arc<Keeper>) -> Self {
        Self {
            shared: Arc::clone(keeper.shared()),
            keeper: Arc::downgrade(keeper),
        }
    }

    /// How the keys are now. Asked within a runtime, it starts the first fetch, without waiting for it: a
    /// service that gets no requests before its probe says that it is ready would else never be.
    pub fn status(&self) -> KeySetStatus {
        if let Some(keeper) = self.keeper.upgrade() {
            // That it could not be started is seen in the status.
            keeper.start().ok();
        }
        self.shared.status()
    }
}

impl fmt::Debug for KeySetHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySetHealth")
            .field(&self.shared.status())
            .finish()
    }
}

/// How a key set is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KeySetStatus {
    /// How many keys there are that can be used.
    pub keys: usize,
    /// How long ago the keys were fetched, or found to be unchanged.
    pub age: Option<Duration>,
    /// Whether they are older than they should be, because fetching them fails.
    pub stale: bool,
    /// The keys that the issuer publishes and that cannot be used, and why.
    pub skipped: Vec<SkippedKey>,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<KeySetError>,
    /// How many attempts there were to fetch the keys, the one that goes on included.
    pub attempts: u64,
    /// How many of them failed.
    pub failures: u64,
}

impl KeySetStatus {
    /// Whether there are keys to verify tokens with.
    pub fn is_ready(&self) -> bool {
        self.keys > 0
    }
}
