//! [`List`]: what was revoked, kept until no token can be meant any longer.

use std::collections::{BTreeSet, HashMap};

use crate::{claims::RegisteredClaims, clock::NumericDate};

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    /// One token.
    Token(Box<str>),
    /// The tokens of a client.
    Client(Box<str>),
    /// The tokens of a subject.
    Owner(Box<str>),
}

/// Revocations, each with its end.
#[derive(Debug, Default)]
pub(crate) struct List {
    tokens: HashMap<Box<str>, NumericDate>,
    clients: HashMap<Box<str>, CutOff>,
    subjects: HashMap<Box<str>, CutOff>,
    // What ends first comes first.
    ends: BTreeSet<(NumericDate, Subject)>,
}

#[derive(Clone, Copy, Debug)]
struct CutOff {
    issued_until: NumericDate,
    kept_until: NumericDate,
}

impl List {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn revokes(&self, claims: &RegisteredClaims) -> bool {
        let cut_off = |cut_offs: &HashMap<Box<str>, CutOff>, name: Option<&str>| {
            name.and_then(|name| cut_offs.get(name))
                .is_some_and(|cut_off| {
                    claims
                        .issued_at()
                        .is_none_or(|issued| issued <= cut_off.issued_until)
                })
        };
        claims.id().is_some_and(|id| self.tokens.contains_key(id))
            || cut_off(&self.clients, claims.client_id())
            || cut_off(&self.subjects, claims.subject())
    }

    /// How many are cut-offs of clients or subjects.
    pub(crate) fn cut_offs(&self) -> usize {
        self.clients.len().saturating_add(self.subjects.len())
    }

    /// Adds a revocation. Of two of the same, the later counts, for each of the two times.
    pub(crate) fn add(
        &mut self,
        subject: Subject,
        issued_until: NumericDate,
        kept_until: NumericDate,
    ) {
        let former = match &subject {
            Subject::Token(id) => self.tokens.get(id).map(|end| CutOff {
                issued_until: *end,
                kept_until: *end,
            }),
            Subject::Client(id) => self.clients.get(id).copied(),
            Subject::Owner(id) => self.subjects.get(id).copied(),
        };
        let mut cut_off = CutOff {
            issued_until,
            kept_until,
        };
        if let Some(former) = former {
            self.ends.remove(&(former.kept_until, subject.clone()));
            cut_off.issued_until = cut_off.issued_until.max(former.issued_until);
            cut_off.kept_until = cut_off.kept_until.max(former.kept_until);
        }
        match subject.clone() {
            Subject::Token(id) => drop(self.tokens.insert(id, cut_off.kept_until)),
            Subject::Client(id) => drop(self.clients.insert(id, cut_off)),
            Subject::Owner(id) => drop(self.subjects.insert(id, cut_off)),
        }
        self.ends.insert((cut_off.kept_until, subject));
    }

    /// Forgets what no token can be meant by any longer.
    pub(crate) fn forget(&mut self, now: NumericDate) {
        while let Some((end, _)) = self.ends.first()
            && *end < now
            && let Some((_, subject)) = self.ends.pop_first()
        {
            match subject {
                Subject::Token(id) => drop(self.tokens.remove(&id)),
                Subject::Client(id) => drop(self.clients.remove(&id)),
                Subject::Owner(id) => drop(self.subjects.remove(&id)),
            }
        }
    }
}
