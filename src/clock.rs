//! What time it is: [`NumericDate`], and the [`Clock`] that tells it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A point in time, in whole seconds since 1970-01-01T00:00:00Z (RFC 7519 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumericDate(u64);

impl NumericDate {
    /// The end of the year 9999, and the largest date that a token may name. What lies beyond is no
    /// date but a mistake, such as milliseconds, or an attack on the arithmetic.
    pub const MAX: Self = Self(253_402_300_799);

    /// From seconds since the epoch; whatever lies after [`MAX`](Self::MAX) becomes that.
    pub const fn from_secs(seconds: u64) -> Self {
        if seconds > Self::MAX.0 {
            Self::MAX
        } else {
            Self(seconds)
        }
    }

    /// Seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// This date and so much later, in whole seconds.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self::from_secs(self.0.saturating_add(duration.as_secs()))
    }

    /// This date and so much earlier, in whole seconds, but not before the epoch.
    #[must_use]
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }
}

impl fmt::Display for NumericDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<SystemTime> for NumericDate {
    /// A time before the epoch becomes [`MAX`](Self::MAX): with a clock so wrong, tokens are to
    /// expire and not to live.
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self::from_secs(since.as_secs()),
            Err(_) => Self::MAX,
        }
    }
}

/// Tells the time by which tokens expire. [`SystemClock`] is the default; a test brings a
/// [`ManualClock`] or its own.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> NumericDate;
}

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn now(&self) -> NumericDate {
        (**self).now()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> NumericDate {
        SystemTime::now().into()
    }
}

/// A clock that stands still until it is set, for tests. Clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{Clock, ManualClock, NumericDate};
///
/// let clock = ManualClock::new(NumericDate::from_secs(1_700_000_000));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().as_secs(), 1_700_000_060);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: NumericDate) -> Self {
        Self(Arc::new(AtomicU64::new(now.as_secs())))
    }

    /// Sets the clock, forwards or back.
    pub fn set(&self, now: NumericDate) {
        self.0.store(now.as_secs(), Ordering::SeqCst);
    }

    /// Moves the clock on by whole seconds.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(duration.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> NumericDate {
        NumericDate::from_secs(self.0.load(Ordering::SeqCst))
    }
}
