//! The script against the rule: the same outcomes, and the same families after each.

use std::collections::HashMap;

use super::*;

/// SplitMix64, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[usize::try_from(self.roll(these.len() as u64)).unwrap()]
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_script_is_the_rule() {
    let server = RedisServer::start();
    let store = store(&server);
    let mut dice = Dice(0x5eed);
    let mut families: HashMap<String, RefreshFamily> = HashMap::new();
    let mut made = 1;
    let mut seen: HashMap<String, u32> = HashMap::new();
    for step in 0..6000 {
        let id = format!("f{}", dice.roll(8));
        let Some(family) = families.get_mut(&id) else {
            made += 1;
            let mut new = super::family(&id);
            new.current = token(made);
            new.ends_at = NOW + dice.roll(400);
            new.idle_until = NOW + dice.roll(200);
            store.begin(new.clone()).await.unwrap();
            families.insert(id, new);
            continue;
        };
        made += 1;
        let previous = family.previous.as_ref().map(|previous| &previous.hash);
        let presented = match dice.roll(20) {
            0 => token(dice.roll(made)),
            1..7 => previous.unwrap_or(&family.current).clone(),
            _ => family.current.clone(),
        };
        let grace = dice.one_of(&[0, 1, 30, 60, u64::MAX]);
        let rotated_at = family.previous.as_ref().map(|previous| previous.rotated_at);
        let edge = dice.one_of(&[
            family.ends_at,
            family.idle_until,
            rotated_at.unwrap_or(NOW).saturating_add(grace),
        ]);
        let now = match dice.roll(4) {
            0 if edge < NOW + 1000 => edge + dice.roll(3) - 1,
            // Clocks of several processes go back and forth.
            _ => NOW + dice.roll(150) - 20,
        };
        let rotation = Rotation {
            family_id: id.clone(),
            presented,
            successor: token(made),
            seed: (dice.roll(3) > 0).then(|| seed(made)),
            now: NumericDate::from_secs(now),
            idle_for: dice.one_of(&[0, 1, 30, 150, 1 << 40, u64::MAX]),
            grace,
        };
        let expected = family.rotate(&rotation);
        if matches!(expected, Rotated::Expired | Rotated::Reused) {
            families.remove(&id);
        }
        let outcome = store.rotate(rotation.clone()).await.unwrap();
        assert_eq!(outcome, expected, "step {step}: {rotation:?}");
        let found = store.find(&id).await.unwrap();
        assert!(
            found.as_ref() == families.get(&id),
            "step {step}: {rotation:?}: {found:?}, not {:?}",
            families.get(&id)
        );
        let name = format!("{outcome:?}");
        let name = name.split(' ').next().unwrap();
        *seen.entry(name.to_owned()).or_default() += 1;
    }
    for outcome in ["Rotated", "Again", "Expired", "Reused"] {
        assert!(
            seen.get(outcome).is_some_and(|&count| count > 100),
            "{seen:?}"
        );
    }
    let kept = families.len().to_string();
    let cli = server.cli(&["eval", "return #redis.call('KEYS', '*family*')", "0"]);
    assert_eq!(cli, kept);
}
