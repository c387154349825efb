//! [`Session`]: what an application wants to know of a session at each refresh.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::store::StoreError;

/// A session is kept with each family, and read and written at each refresh.
pub(super) const LONGEST: usize = 4096;

/// Data of the application in a grant: the JSON text of a value of a type of its own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Session(String);

impl Session {
    /// Writes a value.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, StoreError> {
        // serde_json quotes parts of the value.
        let json = serde_json::to_string(value)
            .map_err(|_| StoreError::new("the session cannot be written as JSON"))?;
        if json.len() > LONGEST {
            return Err(StoreError::new(
                "the session is longer than 4096 bytes: keep the rest in a store of your own, and its key here",
            ));
        }
        Ok(Self(json))
    }

    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_str(&self.0).map_err(|_| {
            StoreError::new("the session in a grant is not of the type that is asked for")
        })
    }
}
