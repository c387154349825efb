//! How long tokens may live: what is more is a mistake, or no longer what it is meant for.

use std::time::Duration;

use crate::{error::ConfigError, revocation::LONGEST_TOKEN};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn check_access_token(lifetime: Option<Duration>) -> Result<(), ConfigError> {
    match lifetime {
        Some(lifetime) if lifetime.as_secs() == 0 || lifetime > LONGEST_TOKEN => {
            Err(ConfigError::new(
                "access tokens must be good for 1 second to 24 hours: they cannot be taken back surely, and \
                 what lives longer is refreshed",
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_refresh_token(lifetime: Option<Duration>) -> Result<(), ConfigError> {
    match lifetime {
        Some(lifetime) if lifetime.as_secs() == 0 || lifetime > YEAR => Err(ConfigError::new(
            "refresh tokens must be good for 1 second to a year",
        )),
        _ => Ok(()),
    }
}
