//! How a revocation is written in Redis: as a JSON array of what is revoked, up to when, and until when that matters.

use crate::{clock::NumericDate, revocation::list::Subject};

/// What is revoked; up to which time of issuing; until when it is kept.
pub(super) struct Entry {
    pub(super) subject: Subject,
    pub(super) issued_until: NumericDate,
    pub(super) kept_until: NumericDate,
}

impl Entry {
    pub(super) fn write(&self) -> String {
        let (kind, name) = match &self.subject {
            Subject::Token(id) => ("token", id),
            Subject::Client(id) => ("client", id),
            Subject::Owner(id) => ("subject", id),
        };
        let (issued, kept) = (self.issued_until.as_secs(), self.kept_until.as_secs());
        serde_json::json!([kind, name, issued, kept]).to_string()
    }

    /// `None` if it cannot be read.
    pub(super) fn read(json: &str) -> Option<Self> {
        let (kind, name, issued_until, kept_until): (String, Box<str>, u64, u64) =
            serde_json::from_str(json).ok()?;
        Some(Self {
            subject: match kind.as_str() {
                "token" => Subject::Token(name),
                "client" => Subject::Client(name),
                "subject" => Subject::Owner(name),
                _ => return None,
            },
            issued_until: NumericDate::from_secs(issued_until),
            kept_until: NumericDate::from_secs(kept_until),
        })
    }
}
