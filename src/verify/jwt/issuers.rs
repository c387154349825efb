//! All issuers that a verifier trusts at a time: [`Issuers`].

use std::{collections::HashMap, fmt, sync::Arc};

use super::{
    claims::Payload,
    invalid,
    rules::{Issuer, missing},
};
use crate::{
    error::{AuthError, reason},
    observe,
};

/// All that are trusted.
#[derive(Clone)]
pub(super) enum Issuers {
    /// The usual case. Its name need not be known before its tokens are looked at.
    One(Arc<Issuer>),
    Many(HashMap<String, Arc<Issuer>>),
}

impl Issuers {
    /// The only one there is.
    pub(super) fn only(&self) -> Option<&Issuer> {
        match self {
            Self::One(issuer) => Some(issuer),
            Self::Many(_) => None,
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.all().into_keys().collect();
        names.sort_unstable();
        names
    }

    /// The one who is to have issued the token.
    pub(super) fn of(&self, claims: &Payload<'_>) -> Result<&Issuer, AuthError> {
        match (self, claims.issuer.as_deref()) {
            (Self::One(issuer), _) => Ok(issuer),
            (Self::Many(_), None) => Err(missing("iss")),
            (Self::Many(by_name), Some(name)) => match by_name.get(name) {
                Some(issuer) => Ok(issuer),
                None => {
                    let known = Known(self);
                    let fault = format_args!("`iss` is {name:?}, must be one of {known:?}");
                    observe::claim_rejected("iss", fault);
                    Err(invalid(reason::ISSUER_MISMATCH))
                }
            },
        }
    }

    fn all(&self) -> HashMap<String, Arc<Issuer>> {
        match self {
            Self::One(issuer) => by_name(issuer),
            Self::Many(by_name) => by_name.clone(),
        }
    }

    /// With one more, in place of those who had one of its names.
    pub(super) fn with(&self, issuer: &Arc<Issuer>) -> Self {
        let mut all = self.all();
        all.retain(|_, other| !other.names.iter().any(|name| issuer.names.contains(name)));
        all.extend(by_name(issuer));
        Self::Many(all)
    }

    /// Without the one of that name.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut all = self.all();
        all.retain(|_, issuer| !issuer.names.iter().any(|other| other == name));
        Self::Many(all)
    }

    /// Ends what rests on those who are not among the later ones.
    pub(super) fn end_unless_in(&self, later: &Self) {
        let later = later.all();
        for (name, issuer) in self.all() {
            let stays = later
                .get(&name)
                .is_some_and(|other| Arc::ptr_eq(other, &issuer));
            if !stays {
                issuer.trusted.end();
            }
        }
    }
}

/// Shows the names of all issuers, which are gathered for that alone.
struct Known<'a>(&'a Issuers);

impl fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.names().fmt(f)
    }
}

fn by_name(issuer: &Arc<Issuer>) -> HashMap<String, Arc<Issuer>> {
    let names = issuer.names.iter();
    names
        .map(|name| (name.clone(), Arc::clone(issuer)))
        .collect()
}
