//! What is told of signing keys: events of `tracing`.

#[cfg(feature = "tracing")]
use crate::observe::Line;
use crate::store::StoreError;

/// The source of the keys could not be asked, or gave keys that cannot be used.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn keys_not_reloaded(error: &StoreError) {
    #[cfg(feature = "tracing")]
    tracing::event!(
        target: "tower_bearer",
        tracing::Level::WARN,
        "exception.message" = %Line(error),
        "signing keys not reloaded"
    );
}
