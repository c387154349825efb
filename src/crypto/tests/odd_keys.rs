//! Attack 46: a thousand odd keys, which every backend takes or refuses alike, where the key is
//! made.
//!
//! A build may have one backend alone. So the verdicts are also held against their sum, which is
//! the same in each build.

use super::*;
use crate::random::Seeded;

/// Verdicts, counted and summed up.
#[derive(Default)]
struct Verdicts {
    taken: usize,
    refused: usize,
    sum: u64,
}

impl Verdicts {
    fn add(&mut self, refusal: Option<KeyError>) {
        let taken = refusal.is_none();
        *if taken {
            &mut self.taken
        } else {
            &mut self.refused
        } += 1;
        // FNV-1a.
        self.sum = (self.sum ^ u64::from(taken))
            .wrapping_add(1)
            .wrapping_mul(0x100_0000_01b3);
    }

    fn all(&self) -> (usize, usize, u64) {
        (self.taken, self.refused, self.sum)
    }
}

/// Bytes that are like the good ones: some bits flipped, a byte more or less, another order.
fn like(random: &mut Seeded, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    match random.below(8) {
        0 => {
            let length = bytes.len();
            bytes[length - 1 - random.below(length.min(4))] ^= 1 << random.below(8);
        }
        1 => bytes.reverse(),
        2 => _ = bytes.pop(),
        3 => bytes.push(0),
        4 => bytes.insert(0, 0),
        5 => _ = bytes.remove(0),
        6 => {}
        _ => {
            for _ in 0..=random.below(3) {
                let place = random.below(bytes.len());
                bytes[place] ^= 1 << random.below(8);
            }
        }
    }
    bytes
}

#[test]
fn attack_46_any_32_bytes_as_a_key_of_ed25519() {
    let mut random = Seeded::new(1);
    let mut verdicts = Verdicts::default();
    let mut ask = |key: &[u8]| {
        let refusal = refusal(Algorithm::EdDSA, &Material::Ed25519(key));
        assert!(matches!(refusal, None | Some(KeyError::Ed25519Point)));
        verdicts.add(refusal);
    };
    for _ in 0..1000 {
        ask(&random.bytes(32));
    }
    let good = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    for _ in 0..200 {
        ask(&like(&mut random, &good));
    }
    // Small and large y, with either sign, reduced or not.
    for low in 0..=0xff {
        for (fill, high) in [(0, 0), (0, 0x80), (0xff, 0x7f), (0xff, 0xff)] {
            let mut key = [fill; 32];
            (key[0], key[31]) = (low, high);
            ask(&key);
        }
    }
    for length in 0..70 {
        ask(&random.bytes(length));
    }
    assert_eq!(verdicts.all(), (1085, 1209, 15_463_437_009_961_642_017));
}

#[test]
fn attack_46_odd_points_of_the_other_curves() {
    let mut random = Seeded::new(2);
    let mut verdicts = Verdicts::default();
    for (_, algorithm, jwk, _) in vectors::VECTORS {
        if !algorithm.as_str().starts_with("ES") {
            continue;
        }
        with_material(algorithm, jwk, |material| {
            let Material::Ec { curve, point } = *material else {
                panic!()
            };
            let mut ask = |point: &[u8]| {
                verdicts.add(refusal(algorithm, &Material::Ec { curve, point }));
            };
            ask(point);
            let length = curve.field_length();
            for _ in 0..200 {
                ask(&like(&mut random, point));
                ask(&[&[4], &random.bytes(2 * length)[..]].concat());
                // In the field, for nearly all numbers of that length.
                let mut point = [&[4], &random.bytes(2 * length)[..]].concat();
                (point[1], point[1 + length]) = (0, 0);
                ask(&point);
            }
            for form in 0..=0xff {
                ask(&[&[form], &point[1..]].concat());
                ask(&[&[form], &point[1..=length]].concat());
                ask(&[form]);
            }
            // x or y at and over the bounds of the field.
            for (low, high) in [(0, 0), (0xff, 0xff), (0, 0xff), (0xff, 0), (1, 0)] {
                for half in [0, length] {
                    let mut point = point.to_vec();
                    let coordinate = &mut point[1 + half..=length + half];
                    coordinate.fill(high);
                    coordinate[length - 1] = low;
                    ask(&point);
                }
            }
        });
    }
    assert_eq!(verdicts.all(), (59, 2699, 12_628_983_985_453_352_949));
}

/// A modulus of so many bits, which is odd.
fn modulus(random: &mut Seeded, bits: usize) -> Vec<u8> {
    let mut n = random.bytes(bits.div_ceil(8));
    let top = (bits - 1) % 8;
    n[0] = (n[0] & ((1 << top) - 1)) | 1 << top;
    *n.last_mut().unwrap() |= 1;
    n
}

#[test]
fn attack_46_odd_numbers_as_a_key_of_rsa() {
    let mut random = Seeded::new(3);
    let mut verdicts = Verdicts::default();
    let sizes = [
        1024, 2040, 2047, 2048, 2049, 3000, 4096, 4097, 8191, 8192, 8193, 16384,
    ];
    for round in 0..300 {
        let bits = match random.below(3) {
            0 => sizes[random.below(sizes.len())],
            1 => 2048,
            _ => 2000 + random.below(300),
        };
        let mut n = modulus(&mut random, bits);
        match random.below(8) {
            0 => *n.last_mut().unwrap() ^= 1,
            1 => n = [vec![0; random.below(4)], n].concat(),
            _ => {}
        }
        let mut e = match random.below(4) {
            0 => vec![random.number() as u8],
            1 => 65537_u32.to_be_bytes().to_vec(),
            2 => random.bytes(5),
            _ => {
                let length = random.below(9);
                random.bytes(length)
            }
        };
        match random.below(4) {
            0 if !e.is_empty() => e[0] &= 1,
            1 => e = [vec![0; random.below(3)], e].concat(),
            2 => _ = e.last_mut().map(|last| *last |= 1),
            _ => {}
        }
        let algorithm = [Algorithm::RS256, Algorithm::PS384][round % 2];
        verdicts.add(refusal(algorithm, &Material::Rsa { n: &n, e: &e }));
    }
    // The bounds of the exponent.
    let n = modulus(&mut random, 2048);
    for e in (0..70_u64).chain([
        (1 << 33) - 1,
        1 << 33,
        (1 << 33) + 1,
        (1 << 34) - 1,
        u64::MAX,
    ]) {
        let e = e.to_be_bytes();
        verdicts.add(refusal(Algorithm::RS256, &Material::Rsa { n: &n, e: &e }));
    }
    assert_eq!(verdicts.all(), (139, 236, 1_335_716_402_183_658_998));
}

#[test]
fn attack_46_secrets_of_any_length() {
    let mut random = Seeded::new(4);
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let least = shortest_secret(algorithm).unwrap();
        for length in 0..300 {
            let secret = random.bytes(length);
            let refusal = refusal(algorithm, &Material::Hmac(&secret));
            assert_eq!(refusal.is_none(), length >= least, "{algorithm}: {length}");
        }
    }
}
