//! [`SigningKeyFile`]: signing keys in a file that several processes read.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{
    PUBLISHED_FOR, jwk,
    key::SigningKey,
    schedule::Schedule,
    source::{ScheduledKey, SigningKeySource},
};
use crate::{
    clock::{Clock, SystemClock},
    error::ConfigError,
    random,
    revocation::LEEWAY,
    store::StoreError,
    verify::BoxFuture,
};

/// Signing keys in a file: a [`SigningKeySource`] for one process that restarts, or for several that share a disk, a
/// mounted secret, or a copy that a deployment tool distributes.
///
/// The file is a JWK Set (RFC 7517 §5) of private keys. The member `nbf` of each says from when it signs, in seconds
/// since 1970; the keys that are not yet or no longer used are published too. A former key needs no private members.
///
/// ```json
/// {"keys": [
///   {"kty": "EC", "crv": "P-256", "x": "…", "y": "…", "alg": "ES256", "kid": "2026-01", "nbf": 1767225600},
///   {"kty": "EC", "crv": "P-256", "x": "…", "y": "…", "d": "…", "alg": "ES256", "kid": "2026-02", "nbf": 1769904000}
/// ]}
/// ```
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{Algorithm, token_service::{SigningKey, SigningKeyFile, SigningKeys}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("signing-keys-{}.json", std::process::id()));
/// let file = SigningKeyFile::new(&path);
///
/// // Once when the service is set up, and every few weeks after that, by one process alone.
/// file.rotate(SigningKey::generate(Algorithm::ES256)?, Duration::from_secs(15 * 60)).await?;
///
/// // In each process that issues.
/// let keys = SigningKeys::from_source(file).load().await?;
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
///
/// The file is read whole each time, at most 256 KiB of it. One that cannot be read, or holds a key that cannot be
/// used, changes nothing, and an event at WARN says why. Whoever writes it must replace it as a whole, by renaming
/// another file over it, as [`rotate`](Self::rotate) does.
#[derive(Clone)]
pub struct SigningKeyFile {
    path: Arc<Path>,
    published_for: Duration,
    clock: Arc<dyn Clock>,
    /// A disk that has gone away, such as one on the network, keeps one thread waiting, and not one each minute.
    reading: Arc<Semaphore>,
}

/// More than a hundred keys of RSA have.
const LARGEST: u64 = 256 * 1024;

impl SigningKeyFile {
    /// The file at that path. It is not opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into().into(),
            published_for: PUBLISHED_FOR,
            clock: Arc::new(SystemClock),
            reading: Arc::new(Semaphore::new(1)),
        }
    }

    /// Sets how long [`rotate`](Self::rotate) leaves former keys in the file. The default is 24 hours, as that of
    /// [`SigningKeys::publish_former_for`](super::SigningKeys::publish_former_for), which should be set alike.
    #[must_use]
    pub fn publish_former_for(mut self, time: Duration) -> Self {
        self.published_for = time;
        self
    }

    /// Sets the clock of [`rotate`](Self::rotate). The default is that of the system.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds a key to the file, which signs after `ahead`. Choose a delay as for
    /// [`SigningKeys::rotate`](super::SigningKeys::rotate), longer than the processes take to read the file again. If
    /// there is no file yet, it is made, and the key signs at once.
    ///
    /// The private members of former keys are removed, and former keys that need no longer be published. The file is
    /// replaced as a whole; on Unix only its owner may read it. Two calls at the same time may lose one of the keys, so
    /// one process should do this.
    ///
    /// # Errors
    /// If the file cannot be read or written, if it holds a key of that id, or if a [`Signer`](super::Signer) has the
    /// private key.
    pub async fn rotate(&self, key: SigningKey, ahead: Duration) -> Result<(), StoreError> {
        let this = self.clone();
        blocking(move || this.rotate_now(key, ahead)).await
    }

    fn rotate_now(&self, key: SigningKey, ahead: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let published_for = self.published_for.saturating_add(LEEWAY);
        let schedule = match read(&self.path) {
            Ok(keys) => {
                let schedule = Schedule::of(keys, now).map_err(StoreError::new)?;
                let schedule = schedule.settled(now, published_for);
                schedule.with(&Arc::new(key), now.saturating_add(ahead))
            }
            Err(Unread::Io(error)) if error.kind() == ErrorKind::NotFound => {
                Ok(Schedule::first(key, now))
            }
            Err(error) => return Err(self.failed("read", error)),
        };
        let schedule = schedule
            .map_err(StoreError::new)?
            .settled(now, published_for);
        let text = write(&schedule).map_err(StoreError::new)?;
        replace(&self.path, text.as_bytes()).map_err(|error| self.failed("written", error))
    }

    fn failed(&self, what: &str, error: impl fmt::Display) -> StoreError {
        let path = self.path.display();
        StoreError::new(format!(
            "the signing keys in {path} cannot be {what}: {error}"
        ))
    }
}

impl SigningKeySource for SigningKeyFile {
    fn keys(&self) -> BoxFuture<Result<Vec<ScheduledKey>, StoreError>> {
        let this = self.clone();
        Box::pin(async move {
            let permit = Arc::clone(&this.reading).acquire_owned().await;
            let permit = permit.map_err(StoreError::new)?;
            let read = move || {
                let _permit = permit;
                read(&this.path).map_err(|error| this.failed("read", error))
            };
            blocking(read).await
        })
    }
}

/// Files have no other API than one that blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(StoreError::new)?
}

enum Unread {
    Io(io::Error),
    Unusable(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Unusable(reason) => f.write_str(reason),
        }
    }
}

fn read(path: &Path) -> Result<Vec<ScheduledKey>, Unread> {
    // Reading from anything else, such as a pipe, may take for ever.
    if !fs::metadata(path).map_err(Unread::Io)?.is_file() {
        return Err(Unread::Unusable("it is no regular file".to_owned()));
    }
    let mut text = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(Unread::Io)?;
    let read = file.take(LARGEST.saturating_add(1)).read_to_end(&mut text);
    if read.map_err(Unread::Io)? as u64 > LARGEST {
        return Err(Unread::Unusable("it is larger than 256 KiB".to_owned()));
    }
    let text = std::str::from_utf8(&text);
    let text = text.map_err(|_| Unread::Unusable("it is not UTF-8".to_owned()))?;
    jwk::read_set(text).map_err(|reason| Unread::Unusable(reason.into_owned()))
}

fn write(schedule: &Schedule) -> Result<Zeroizing<String>, ConfigError> {
    let mut text = Zeroizing::new(String::from("{\"keys\":["));
    for (place, (public, private, from)) in schedule.keys().enumerate() {
        let key = match private {
            Some(private) => private.write_jwk(Some(from))?,
            None => public.write_jwk(from)?,
        };
        // What is outgrown is zeroed too.
        let mut longer = Zeroizing::new(String::with_capacity(
            text.len().saturating_add(key.len()).saturating_add(4),
        ));
        longer.push_str(&text);
        longer.push_str(if place == 0 { "\n" } else { ",\n" });
        longer.push_str(&key);
        text = longer;
    }
    text.push_str("\n]}\n");
    Ok(text)
}

/// Puts other contents in the place of a file, all at once: readers find the old ones or the new ones.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{:032x}", random::id()));
    let beside = path.with_file_name(hidden);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        // What was begun is of no use to anybody.
        let _ = fs::remove_file(&beside);
    }
    written
}

impl fmt::Debug for SigningKeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeyFile").field(&self.path).finish()
    }
}
