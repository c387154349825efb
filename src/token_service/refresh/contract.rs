//! What every [`RefreshStore`] must do, as a check for tests.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::join_all;

use super::{
    FamiliesOf, IssuedToken, Previous, RefreshFamily, RefreshStore, Rotated, Rotation, Secret,
    TokenHash, Version,
};
use crate::{
    clock::{Clock, NumericDate, SystemClock},
    store::StoreError,
    token_service::{grant::Grant, session::Session},
};

/// Checks that a [`RefreshStore`] does what every store must do, and panics with the rule that it breaks. For the tests
/// of a store of your own.
///
/// The store must be empty. The check takes a few thousand operations, on a hundred families, some of them at the same
/// time. Families begin one day from now, so that a store that drops what is over by a clock of its own keeps them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use tower_bearer::{testing, token_service::InMemoryRefreshStore};
///
/// testing::check_refresh_store(InMemoryRefreshStore::new()).await;
/// # }
/// ```
///
/// # Panics
/// If the store breaks a rule, or returns an error.
pub async fn check_refresh_store(store: impl RefreshStore) {
    let store: Arc<dyn RefreshStore> = Arc::new(store);
    let start = SystemClock.now().as_secs() + 24 * 3600;
    let check = Contract { store, start };
    check.rules().await;
    check.repetitions().await;
    check.listing_and_ending().await;
    check.one_winner().await;
    check.like_the_rule(0x5eed, 1500).await;
}

/// The hash of a token of that number.
pub(crate) fn token(number: u64) -> TokenHash {
    let mut hash = [0; 32];
    if let Some(first) = hash.first_chunk_mut::<8>() {
        *first = number.to_be_bytes();
    }
    TokenHash(hash)
}

pub(crate) fn seed(number: u64) -> Secret {
    Secret(token(number).0)
}

/// A family whose current token is number 1. It ends after an hour, and after 10 minutes without use.
pub(crate) fn family(id: &str, start: u64) -> RefreshFamily {
    RefreshFamily {
        version: Version,
        id: id.into(),
        revision: 0,
        grant: Grant::of("svc", "svc"),
        mark: seed(7),
        current: token(1),
        previous: Vec::new(),
        access_tokens: Vec::new(),
        begun_at: start,
        ends_at: start + 3600,
        idle_until: start + 600,
        listed_until: 0,
    }
}

pub(crate) fn rotation(
    found: &RefreshFamily,
    presented: u64,
    successor: u64,
    now: u64,
) -> Rotation {
    Rotation {
        found: found.clone(),
        presented: token(presented),
        successor: token(successor),
        seed: None,
        issued: None,
        session: None,
        now: NumericDate::from_secs(now),
        idle_for: 600,
        grace: 0,
    }
}

/// The same, with a grace of 30 seconds, and what the successor can be made from once more.
pub(crate) fn graceful(
    found: &RefreshFamily,
    presented: u64,
    successor: u64,
    now: u64,
) -> Rotation {
    Rotation {
        seed: Some(seed(successor)),
        grace: 30,
        ..rotation(found, presented, successor, now)
    }
}

pub(crate) const ROTATED: Rotated = Rotated::Rotated {
    earlier: Vec::new(),
};
pub(crate) const REUSED: Rotated = Rotated::Reused { issued: Vec::new() };

/// What two families have in common if a store has kept one.
fn kept(family: &RefreshFamily) -> RefreshFamily {
    RefreshFamily {
        listed_until: 0,
        ..family.clone()
    }
}

/// Whether a token is presented with a grace; its number; that of its successor; when, in seconds from the start;
/// what comes of it; and when the family is over then if nothing happens, `None` if it is no more.
type Step = (bool, u64, u64, u64, Rotated, Option<u64>);

fn again(number: u64) -> Rotated {
    Rotated::Again { seed: seed(number) }
}

fn rules() -> Vec<(&'static str, Vec<Step>)> {
    use super::Rotated::{Expired, Unknown};

    vec![
        (
            "one after the other",
            vec![
                (false, 1, 2, 0, ROTATED, Some(600)),
                (false, 2, 3, 599, ROTATED, Some(1199)),
                (false, 3, 4, 1000, ROTATED, Some(1600)),
            ],
        ),
        (
            "a family does not outlive its end",
            vec![
                (false, 1, 2, 599, ROTATED, Some(1199)),
                (false, 2, 3, 1198, ROTATED, Some(1798)),
                (false, 3, 4, 1797, ROTATED, Some(2397)),
                (false, 4, 5, 2396, ROTATED, Some(2996)),
                (false, 5, 6, 2995, ROTATED, Some(3595)),
                (false, 6, 7, 3590, ROTATED, Some(3600)),
                (false, 7, 8, 3599, ROTATED, Some(3600)),
                (false, 8, 9, 3600, Expired, None),
                (false, 8, 9, 0, Unknown, None),
            ],
        ),
        (
            "not used for too long, to the second",
            vec![(false, 1, 2, 600, Expired, None)],
        ),
        (
            "over comes before reused",
            vec![(false, 9, 2, 600, Expired, None)],
        ),
        (
            "the previous one again",
            vec![
                (false, 1, 2, 0, ROTATED, Some(600)),
                (false, 1, 3, 0, REUSED, None),
                (false, 2, 4, 0, Unknown, None),
            ],
        ),
        (
            "the same rotation again, for its result was lost",
            vec![
                (false, 1, 2, 0, ROTATED, Some(600)),
                (false, 1, 2, 1, ROTATED, Some(600)),
                (false, 2, 3, 10, ROTATED, Some(610)),
                (false, 1, 2, 11, REUSED, None),
            ],
        ),
        (
            "one that is older, without a grace",
            vec![
                (false, 1, 2, 0, ROTATED, Some(600)),
                (false, 2, 3, 0, ROTATED, Some(600)),
                (false, 1, 4, 0, REUSED, None),
            ],
        ),
        (
            "one that is older, within the grace",
            vec![
                (true, 1, 2, 0, ROTATED, Some(600)),
                (true, 2, 3, 10, ROTATED, Some(610)),
                (true, 1, 4, 29, again(2), Some(610)),
                (true, 2, 5, 30, again(3), Some(610)),
                (true, 3, 6, 35, ROTATED, Some(635)),
                (true, 1, 7, 36, REUSED, None),
            ],
        ),
        (
            "again within the grace, as often as one likes",
            vec![
                (true, 1, 2, 0, ROTATED, Some(600)),
                (true, 1, 3, 1, again(2), Some(600)),
                (true, 1, 4, 29, again(2), Some(600)),
                (true, 2, 5, 30, ROTATED, Some(630)),
                (true, 2, 6, 59, again(5), Some(630)),
                (true, 2, 7, 60, REUSED, None),
            ],
        ),
        (
            "a grace that the later request does not have",
            vec![
                (true, 1, 2, 0, ROTATED, Some(600)),
                (false, 1, 3, 0, REUSED, None),
            ],
        ),
        (
            "a grace that the earlier request did not have",
            vec![
                (false, 1, 2, 0, ROTATED, Some(600)),
                (true, 1, 3, 0, REUSED, None),
            ],
        ),
        (
            "a grace that only the one before last had",
            vec![
                (true, 1, 2, 0, ROTATED, Some(600)),
                (false, 2, 3, 0, ROTATED, Some(600)),
                (true, 2, 4, 0, REUSED, None),
            ],
        ),
    ]
}

struct Contract {
    store: Arc<dyn RefreshStore>,
    start: u64,
}

impl Contract {
    async fn find(&self, id: &str) -> Option<RefreshFamily> {
        works("find", self.store.find(id).await)
    }

    async fn begin(&self, family: &RefreshFamily) {
        let ended = works("begin", self.store.begin(family.clone()).await);
        assert!(
            ended.is_empty(),
            "begin has ended families of a store that is not full"
        );
    }

    async fn rules(&self) {
        for (rule, steps) in rules() {
            let mut model = family("f", self.start);
            self.begin(&model).await;
            for (grace, presented, successor, after, expected, over) in steps {
                let now = self.start + after;
                let found = self.find("f").await.unwrap_or_else(|| model.clone());
                let rotation = match grace {
                    true => graceful(&found, presented, successor, now),
                    false => rotation(&found, presented, successor, now),
                };
                let outcome = works("rotate", self.store.rotate(rotation.clone()).await);
                assert_eq!(outcome, expected, "{rule}: {rotation:?}");
                let found = self.find("f").await;
                let found_over = found.as_ref().map(|family| family.over_at() - self.start);
                assert_eq!(found_over, over, "{rule}: {rotation:?}");
                if expected != Rotated::Unknown {
                    assert_eq!(model.rotate(&rotation), expected, "{rule}: {rotation:?}");
                }
                if let Some(found) = found {
                    assert!(kept(&found) == model, "{rule}: {rotation:?}: {found:?}");
                }
            }
            works("end", self.store.end("f").await);
        }
    }

    /// What is asked with an old finding, or for the second time because an answer was lost, is not done twice.
    async fn repetitions(&self) {
        let first = family("f", self.start);
        self.begin(&first).await;
        self.begin(&first).await;
        for _ in 0..3 {
            let again = rotation(&first, 1, 2, self.start);
            assert_eq!(works("rotate", self.store.rotate(again).await), ROTATED);
        }
        let stale = rotation(&first, 2, 3, self.start);
        let outcome = works("rotate", self.store.rotate(stale).await);
        assert_eq!(
            outcome, ROTATED,
            "a rotation of a family that has changed since it was found"
        );
        let stale = rotation(&first, 1, 9, self.start);
        assert_eq!(works("rotate", self.store.rotate(stale).await), REUSED);
        assert!(
            self.find("f").await.is_none(),
            "a family that was reused is still there"
        );

        let mut with_tokens = family("f", self.start);
        with_tokens.access_tokens = vec![issued("a", self.start + 100)];
        self.begin(&with_tokens).await;
        let mut onwards = rotation(&with_tokens, 1, 2, self.start);
        onwards.issued = Some(issued("b", self.start + 100));
        for _ in 0..2 {
            let outcome = works("rotate", self.store.rotate(onwards.clone()).await);
            let earlier = vec![issued("a", self.start + 100)];
            assert_eq!(outcome, Rotated::Rotated { earlier });
        }
        let outcome = works(
            "rotate",
            self.store
                .rotate(rotation(&with_tokens, 1, 9, self.start))
                .await,
        );
        let tokens = vec![issued("a", self.start + 100), issued("b", self.start + 100)];
        assert_eq!(outcome, Rotated::Reused { issued: tokens });
    }

    async fn listing_and_ending(&self) {
        let mut all = Vec::new();
        for number in 0..60 {
            let mut one = family(&format!("l{number}"), self.start);
            let client = match number % 2 {
                0 => "web",
                _ => "app {x} ü\r\n",
            };
            let subject = match number % 3 {
                0 => "alice",
                1 => "bob",
                _ => "eve \"'%_\\ ü",
            };
            one.grant = Grant::of(client, subject);
            one.previous = vec![Previous {
                hash: token(0),
                rotated_at: self.start - 5,
                seed: Some(seed(3)),
            }];
            self.begin(&one).await;
            let found = self.find(&one.id).await.map(|found| kept(&found));
            assert!(
                found.as_ref() == Some(&one),
                "a family is found as it was begun"
            );
            all.push(one);
        }
        let bob = |client_id: &str| FamiliesOf::ClientAndSubject {
            client_id: client_id.into(),
            subject: "bob".into(),
        };
        for of in [
            bob("web"),
            bob("nobody"),
            FamiliesOf::Client("nobody".into()),
            FamiliesOf::Subject("eve \"'%_\\ ü".into()),
            FamiliesOf::Client("web".into()),
            FamiliesOf::Client("app {x} ü\r\n".into()),
        ] {
            let mut expected: Vec<_> = ids(all.iter().filter(|one| of.contains(one)));
            let mut listed = self.listed(&of).await;
            listed.dedup();
            assert_eq!(listed, expected, "{of:?} listed");
            let mut ended = Vec::new();
            loop {
                let some = works("end_some", self.store.end_some(&of).await);
                if some.is_empty() {
                    break;
                }
                ended.extend(ids(some.iter()));
            }
            ended.sort();
            assert_eq!(ended, expected, "{of:?} ended");
            assert!(
                self.listed(&of).await.is_empty(),
                "{of:?} listed after they ended"
            );
            for id in expected.drain(..) {
                assert!(self.find(&id).await.is_none(), "{of:?}: {id} has ended");
            }
            all.retain(|one| !of.contains(one));
        }
        let one = family("f", self.start);
        self.begin(&one).await;
        let ended = works("end", self.store.end("f").await);
        assert!(
            ended.map(|ended| kept(&ended)) == Some(one),
            "end returns the family"
        );
        assert!(
            works("end", self.store.end("f").await).is_none(),
            "a family ends once"
        );
    }

    async fn listed(&self, of: &FamiliesOf) -> Vec<String> {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = works("list", self.store.list(of, after.as_deref()).await);
            listed.extend(ids(page.families.iter()));
            after = page.next;
            if after.is_none() {
                listed.sort();
                return listed;
            }
        }
    }

    /// Of many presentations at the same time, one finds the token current (attacks.md, 34).
    async fn one_winner(&self) {
        for grace in [true, false] {
            let found = family("f", self.start);
            self.begin(&found).await;
            let rotations = (2..66).map(|successor| match grace {
                true => graceful(&found, 1, successor, self.start),
                false => rotation(&found, 1, successor, self.start),
            });
            let outcomes = join_all(rotations.map(|rotation| self.store.rotate(rotation))).await;
            let outcomes = outcomes.into_iter().map(|outcome| works("rotate", outcome));
            let outcomes: Vec<_> = outcomes.collect();
            let count =
                |wanted: fn(&Rotated) -> bool| outcomes.iter().filter(|one| wanted(one)).count();
            let rotated = count(|one| matches!(one, Rotated::Rotated { .. }));
            assert_eq!(rotated, 1, "of 64 presentations at the same time");
            if grace {
                assert_eq!(count(|one| matches!(one, Rotated::Again { .. })), 63);
            } else {
                assert_eq!(count(|one| matches!(one, Rotated::Reused { .. })), 1);
                assert_eq!(count(|one| matches!(one, Rotated::Unknown)), 62);
            }
            works("end", self.store.end("f").await);
        }
    }

    /// At random: the same outcomes as by the rule, and the same families after each.
    pub(crate) async fn like_the_rule(&self, seed_of_dice: u64, steps: u32) {
        let mut dice = Dice(seed_of_dice);
        let mut families: HashMap<String, RefreshFamily> = HashMap::new();
        let mut made = 1;
        let start = self.start;
        for step in 0..steps {
            let id = format!("r{}", dice.roll(8));
            let Some(model) = families.get_mut(&id) else {
                made += 1;
                let mut new = family(&id, start);
                new.current = token(made);
                new.ends_at = start + dice.roll(400);
                new.idle_until = start + dice.roll(200);
                self.begin(&new).await;
                families.insert(id, new);
                continue;
            };
            made += 1;
            let previous = model.previous.first().map(|previous| previous.hash.clone());
            let older = model.previous.last().map(|previous| previous.hash.clone());
            let presented = match dice.roll(20) {
                0 => token(dice.roll(made)),
                1..5 => previous.clone().unwrap_or(model.current.clone()),
                5 | 6 => older.unwrap_or(model.current.clone()),
                _ => model.current.clone(),
            };
            let grace = dice.one_of(&[0, 1, 30, 60, u64::MAX]);
            let rotated_at = model.previous.first().map(|previous| previous.rotated_at);
            let edge = dice.one_of(&[
                model.ends_at,
                model.idle_until,
                rotated_at.unwrap_or(start).saturating_add(grace),
            ]);
            let now = match dice.roll(4) {
                0 if edge < start + 1000 => edge + dice.roll(3) - 1,
                // Clocks of several processes go back and forth.
                _ => start + dice.roll(150) - 20,
            };
            let rotation = Rotation {
                found: model.clone(),
                presented,
                successor: match dice.roll(8) {
                    // The same again, for its answer was lost.
                    0 => model.current.clone(),
                    _ => token(made),
                },
                seed: (dice.roll(3) > 0).then(|| seed(made)),
                session: (dice.roll(4) == 0).then(|| session(made)),
                issued: (dice.roll(2) > 0).then(|| issued(&made.to_string(), now + dice.roll(50))),
                now: NumericDate::from_secs(now),
                idle_for: dice.one_of(&[0, 1, 30, 150, 1 << 40, u64::MAX]),
                grace,
            };
            let expected = model.rotate(&rotation);
            if matches!(expected, Rotated::Expired | Rotated::Reused { .. }) {
                families.remove(&id);
            }
            let outcome = works("rotate", self.store.rotate(rotation.clone()).await);
            assert_eq!(outcome, expected, "step {step}: {rotation:?}");
            let found = self.find(&id).await.map(|found| kept(&found));
            assert!(
                found.as_ref() == families.get(&id),
                "step {step}: {rotation:?}: {found:?}, not {:?}",
                families.get(&id)
            );
        }
        for id in families.into_keys() {
            works("end", self.store.end(&id).await);
        }
    }
}

/// Data of an application.
fn session(number: u64) -> Session {
    works("a session is written", Session::of(&number))
}

fn issued(id: &str, expires_at: u64) -> IssuedToken {
    IssuedToken {
        id: id.to_owned(),
        expires_at,
    }
}

fn ids<'a>(families: impl Iterator<Item = &'a RefreshFamily>) -> Vec<String> {
    let mut ids: Vec<_> = families.map(|family| family.id.clone()).collect();
    ids.sort();
    ids
}

fn works<T>(operation: &str, result: Result<T, StoreError>) -> T {
    match result {
        Ok(value) => value,
        #[allow(clippy::panic, reason = "it is what the check is for")]
        Err(error) => panic!("{operation} has failed: {error}"),
    }
}

/// SplitMix64, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn one_of<const N: usize>(&mut self, these: &[u64; N]) -> u64 {
        let at = usize::try_from(self.roll(N as u64)).unwrap_or_default();
        these.get(at).copied().unwrap_or_default()
    }
}
