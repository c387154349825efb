//! The headers of a refusal of which nothing is known but its kind: put together once, and copied.

use bytes::Bytes;
use http::{HeaderMap, Response, header::CONTENT_LENGTH};

use super::{
    Challenges, complete,
    problem::{content_length, problem_response},
};
use crate::error::{AuthError, AuthErrorKind};

/// The headers of each kind. To copy them takes less than half the time that it takes to insert them.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, Method, Request, header::SET_COOKIE};

    use super::super::{ProblemJson, Reject, RejectFn, Voice};
    use super::*;

    #[test]
    fn an_answer_of_copied_headers_is_that_of_inserted_ones() {
        let problems = ProblemJson::new();
        let mut copying = Voice::new(problems.clone());
        let mut inserting = Voice::new(RejectFn(move |error: &_, request: &_| {
            problems.reject(error, request)
        }));
        for voice in [&mut copying, &mut inserting] {
            voice
                .set_challenges(|challenges| challenges.set_realm("elements"))
                .unwrap();
        }
        for kind in AuthErrorKind::ALL {
            let plain = AuthError::plain(kind);
            for error in [
                plain.clone(),
                plain.clone().with_source("because"),
                plain.clone().with_retry_after(Duration::from_secs(7)),
                plain.clone().with_challenge_parameter("max_age", "60"),
                plain.with_header(SET_COOKIE, HeaderValue::from_static("a=b")),
            ] {
                for (method, path) in [
                    (Method::GET, "/elements/7".to_owned()),
                    (Method::HEAD, "/elements".to_owned()),
                    (Method::GET, format!("/{}", "e".repeat(1000))),
                ] {
                    let request = Request::builder()
                        .method(method)
                        .uri(path)
                        .header("x-request-id", "17")
                        .body(())
                        .unwrap();
                    let (request, ()) = request.into_parts();
                    let copied = copying.answer(error.clone(), &request);
                    let inserted = inserting.answer(error.clone(), &request);
                    assert_eq!(copied.status(), inserted.status());
                    assert_eq!(copied.headers(), inserted.headers());
                    assert_eq!(copied.body(), inserted.body());
                }
            }
        }
    }
}
