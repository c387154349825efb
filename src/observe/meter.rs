//! The keys of metrics, made so that a request does not pay for them, and what is said by them.
//!
//! The recorder is asked for its counter each time, and no counter is kept: the application may set the
//! recorder after the layer was built, and a test sets one for itself.

use std::{cell::RefCell, rc::Rc, time::Duration};

use metrics::{Key, Label, Level, Metadata, with_recorder};

static METADATA: Metadata<'static> =
    Metadata::new("tower_bearer", Level::INFO, Some("tower_bearer"));

/// The key of a metric whose labels are known beforehand.
macro_rules! fixed {
    ($name:expr $(, $label:literal => $value:literal)*) => {{
        static LABELS: &[metrics::Label] = &[$(metrics::Label::from_static_parts($label, $value)),*];
        static KEY: metrics::Key = metrics::Key::from_static_parts($name, LABELS);
        &KEY
    }};
}
pub(super) use fixed;

pub(super) fn add(key: &Key, count: u64) {
    with_recorder(|recorder| recorder.register_counter(key, &METADATA)).increment(count);
}

pub(super) fn record(key: &Key, took: Duration) {
    with_recorder(|recorder| recorder.register_histogram(key, &METADATA)).record(took);
}

pub(super) fn set(key: &Key, value: f64) {
    with_recorder(|recorder| recorder.register_gauge(key, &METADATA)).set(value);
}

/// How many keys a thread keeps. There are fewer reasons than that, unless somebody makes them up as
/// they go; then the rest is made anew each time.
pub(super) const KEPT: usize = 64;

type Kept = Vec<([&'static str; 3], Rc<Key>)>;

/// The key of a metric with an outcome and an `error.type`.
///
/// Reasons are constants, but not known here, for verifiers bring their own. So a key is made the first
/// time that a thread needs it, and is found again without an allocation.
pub(super) fn of_error(name: &'static str, outcome: &'static str, reason: &'static str) -> Rc<Key> {
    thread_local! {
        static KEYS: RefCell<Kept> = const { RefCell::new(Vec::new()) };
    }

    // The reason tells most of them apart.
    let parts = [reason, outcome, name];
    let find = |keys: &RefCell<Kept>| {
        let keys = keys.borrow();
        let (_, key) = keys.iter().find(|(known, _)| *known == parts)?;
        Some(Rc::clone(key))
    };
    // At the end of a thread there is nothing to keep them in.
    if let Ok(Some(key)) = KEYS.try_with(find) {
        return key;
    }
    let labels = vec![
        Label::from_static_parts("outcome", outcome),
        Label::from_static_parts("error.type", reason),
    ];
    let key = Rc::new(Key::from_parts(name, labels));
    let _ = KEYS.try_with(|keys| {
        let mut keys = keys.borrow_mut();
        if keys.len() < KEPT {
            keys.push((parts, Rc::clone(&key)));
        }
    });
    key
}

/// The key of a metric of a key set.
pub(super) fn of_key_set(name: &'static str, source: &str) -> Key {
    Key::from_parts(name, vec![key_set(source)])
}

/// The key of a metric of a fetch.
pub(super) fn of_fetch(name: &'static str, source: &str, outcome: Result<(), &'static str>) -> Key {
    let mut labels = vec![key_set(source)];
    match outcome {
        Ok(()) => labels.push(Label::from_static_parts("outcome", "success")),
        Err(reason) => labels.extend([
            Label::from_static_parts("outcome", "failure"),
            Label::from_static_parts("error.type", reason),
        ]),
    }
    Key::from_parts(name, labels)
}

/// The key of a metric of a request to the token service.
pub(super) fn of_token_request(
    name: &'static str,
    endpoint: &'static str,
    outcome: Result<(), &'static str>,
) -> Key {
    let mut labels = vec![Label::from_static_parts("endpoint", endpoint)];
    match outcome {
        Ok(()) => labels.push(Label::from_static_parts("outcome", "success")),
        Err(reason) => labels.extend([
            Label::from_static_parts("outcome", "refused"),
            Label::from_static_parts("error.type", reason),
        ]),
    }
    Key::from_parts(name, labels)
}

fn key_set(source: &str) -> Label {
    Label::new("key_set", source.to_owned())
}
