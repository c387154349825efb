//! The headers of a refusal of which nothing is known but its kind: put together once, and copied.

use bytes::Bytes;
use http::{HeaderMap, Response, header::CONTENT_LENGTH};

use super::{
    Challenges, complete,
    problem::{content_length, problem_response},
};
use crate::error::{AuthError, AuthErrorKind};

/// The headers of each kind. To copy them takes a third of the time that it takes to insert them.
#[derive(Clone)]
pub(super) struct Heads([HeaderMap; AuthErrorKind::ALL.len()]);

impl Heads {
    /// Those that an answer gets with these challenges.
    pub(super) fn of(challenges: &Challenges) -> Self {
        Self(AuthErrorKind::ALL.map(|kind| {
            let mut response = problem_response(kind.status(), Bytes::new());
            complete(&mut response, &AuthError::plain(kind), challenges);
            response.into_parts().0.headers
        }))
    }

    /// The answer of this kind, whose problem document is `body`.
    pub(super) fn response(&self, kind: AuthErrorKind, body: Bytes) -> Response<Bytes> {
        let mut headers = self.0.get(kind.index()).cloned().unwrap_or_default();
        // Of so few, it is found by its name faster than by its hash.
        if let Some((_, length)) = headers
            .iter_mut()
            .find(|(name, _)| **name == CONTENT_LENGTH)
        {
            *length = content_length(body.len());
        }
        let mut response = Response::new(body);
        *response.status_mut() = kind.status();
        *response.headers_mut() = headers;
        response
    }
}
