//! Attack 46: odd signatures, by keys that are known, which every backend judges alike.

use super::{signing::pkcs8, *};
use crate::{crypto::SigningKey, random::Seeded};

/// A big-endian number of a fixed length plus another; `None` if the sum is longer.
fn sum(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut sum = one.to_vec();
    let mut carry = 0;
    for (byte, add) in sum.iter_mut().zip(other).rev() {
        let whole = u16::from(*byte) + u16::from(*add) + carry;
        *byte = whole as u8;
        carry = whole >> 8;
    }
    (carry == 0).then_some(sum)
}

fn order(curve: Curve) -> Vec<u8> {
    let text = match curve {
        Curve::P256 => "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE",
        Curve::P384 => "________________________________x2NNgfQ3Ld9YGg2ySLCneuzsGWrMxSlz",
        Curve::P521 => {
            "Af__________________________________________-lGGh4O_L5Zrf8wBSPcJpdA7tcm4iZxHrrtvtx6ROGQJ"
        }
    };
    decode(text)
}

#[test]
fn attack_05_numbers_of_ecdsa_out_of_their_range() {
    let mut random = Seeded::new(5);
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512] {
        let key = SigningKey::from_pkcs8_der(algorithm, &pkcs8(algorithm).unwrap()).unwrap();
        let (material, message) = (key.material(), b"message");
        let half = curve_of(algorithm).field_length();
        let order = order(curve_of(algorithm));
        assert_eq!(order.len(), half);
        let signature = key.sign(message).unwrap();
        let (r, s) = signature.split_at(half);
        let holds = |r: &[u8], s: &[u8]| holds(algorithm, &material, message, &[r, s].concat());
        assert!(holds(r, s));
        let mut one = vec![0; half];
        one[half - 1] = 1;
        let mut odd = vec![vec![0; half], one.clone(), order.clone(), vec![0xff; half]];
        odd.extend(sum(&order, &one));
        odd.extend((0..20).map(|_| random.bytes(half)));
        for number in &odd {
            assert!(!holds(number, s), "{algorithm}: r = {number:?}");
            assert!(!holds(r, number), "{algorithm}: s = {number:?}");
            for other in &odd {
                assert!(!holds(number, other), "{algorithm}");
            }
        }
        // The same numbers modulo the order, where there is room for them.
        for number in [sum(r, &order), sum(s, &order)].into_iter().flatten() {
            assert!(!holds(&number, s));
            assert!(!holds(r, &number));
        }
        assert!(!holds(s, r));
        for broken in broken(&signature) {
            assert!(!super::holds(algorithm, &material, message, &broken));
        }
    }
}

#[test]
fn attack_05_numbers_of_rsa_out_of_their_range() {
    let mut random = Seeded::new(6);
    for algorithm in [
        Algorithm::RS256,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS512,
    ] {
        let key = SigningKey::from_pkcs8_der(algorithm, &pkcs8(algorithm).unwrap()).unwrap();
        let material = key.material();
        let Material::Rsa { n, .. } = material else {
            panic!()
        };
        let mut sums = 0;
        for message in 0..12_u8 {
            let message = [message];
            let signature = key.sign(&message).unwrap();
            let holds = |signature: &[u8]| holds(algorithm, &material, &message, signature);
            assert!(holds(&signature));
            // s + n is the same number modulo n.
            if let Some(sum) = sum(&signature, n) {
                sums += 1;
                assert!(!holds(&sum), "{algorithm}");
            }
        }
        assert!(sums > 0);
        let message = b"message";
        let holds = |signature: &[u8]| holds(algorithm, &material, message, signature);
        let mut one = vec![0; n.len()];
        *one.last_mut().unwrap() = 1;
        let mut less = n.to_vec();
        *less.last_mut().unwrap() -= 1;
        for number in [vec![0; n.len()], one, less, n.to_vec(), vec![0xff; n.len()]] {
            assert!(!holds(&number), "{algorithm}: {number:?}");
        }
        let signature = key.sign(message).unwrap();
        for length in [0, 1, 255, 257, 512] {
            let mut other = signature.clone();
            other.resize(length, 0);
            assert!(!holds(&other), "{algorithm}: {length}");
        }
        for _ in 0..20 {
            assert!(!holds(&random.bytes(n.len())));
        }
    }
}

/// RFC 8032 §5.1.7, also where `ed25519-dalek/legacy_compatibility` is switched on.
#[test]
fn a_signature_of_ed25519_has_one_spelling() {
    let algorithm = Algorithm::EdDSA;
    let key = SigningKey::from_pkcs8_der(algorithm, &pkcs8(algorithm).unwrap()).unwrap();
    let material = key.material();
    // The order of the group, big-endian.
    let order = decode("EAAAAAAAAAAAAAAAAAAAABTe-d6i95zWWBJjGlz10-0");
    let mut random = Seeded::new(7);
    for message in 0..40_u8 {
        let message = [message];
        let signature = key.sign(&message).unwrap();
        let (commitment, number) = signature.split_at(32);
        let number: Vec<u8> = number.iter().rev().copied().collect();
        let holds = |commitment: &[u8], number: &[u8]| {
            let number: Vec<u8> = number.iter().rev().copied().collect();
            let signature = [commitment, &number].concat();
            holds(algorithm, &material, &message, &signature)
        };
        assert!(holds(commitment, &number));
        let mut other = number.clone();
        // s + l to s + 15 l, as far as there is room.
        while let Some(more) = sum(&other, &order) {
            other = more;
            assert!(!holds(commitment, &other));
        }
        for bits in [0x20, 0x40, 0x80, 0xe0] {
            let mut other = number.clone();
            other[0] |= bits;
            assert!(!holds(commitment, &other));
        }
        // The commitment with the other sign, not reduced, of low order, at random.
        let mut flipped = commitment.to_vec();
        flipped[31] ^= 0x80;
        let mut large = [0xff; 32];
        large[0] = 0xed + message[0] % 19;
        for commitment in [&flipped[..], &large, &[0; 32], &random.bytes(32)] {
            assert!(!holds(commitment, &number));
            assert!(!holds(commitment, &[0; 32]));
        }
    }
}
