//! Which bytes are a key or a signature of Ed25519, whatever the backend takes for one.

use curve25519_dalek::edwards::CompressedEdwardsY;

/// The y of the eight points whose order divides 8. With one of them as the key, a signature holds
/// for nearly every message; with one of them as its commitment R, for no honest signer's.
const LOW_ORDER: [[u8; 32]; 5] = [
    // 0
    [0; 32],
    // 1
    [
        0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0,
    ],
    // -1
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // The two of order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// The order of the group that signatures are made in, least significant byte first (RFC 8032
/// §5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Whether these bytes are a public key: the only encoding of a point of the curve (RFC 8032
/// §5.1.3), and not one of low order. A backend may take any 32 bytes (Attack 46).
pub(super) fn is_key(encoded: &[u8; 32]) -> bool {
    let point = CompressedEdwardsY(*encoded).decompress();
    is_reduced(encoded) && point.is_some_and(|point| !point.is_small_order())
}

/// Whether a signature is spelled as a signer who follows RFC 8032 spells it: its commitment R is
/// reduced and not of low order, and its number s is less than the order of the group.
///
/// Backends differ in these. A feature of ed25519-dalek that any crate of a tree may switch on
/// (`legacy_compatibility`) lets s be larger, which makes a second signature of each.
pub(super) fn is_plain_signature(signature: &[u8]) -> bool {
    let Some((commitment, number)) = signature.split_first_chunk() else {
        return false;
    };
    is_reduced(commitment)
        && !is_low_order(commitment)
        && number.len() == ORDER.len()
        && number.iter().rev().lt(ORDER.iter().rev())
}

/// Whether these bytes are the canonical encoding of a point of low order.
fn is_low_order(encoded: &[u8; 32]) -> bool {
    LOW_ORDER.contains(&without_sign(encoded))
}

/// Whether the y in these bytes is below 2^255 - 19, as RFC 8032 §5.1.3 has it.
fn is_reduced(encoded: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = without_sign(encoded);
    first < 0xed || last != 0x7f || middle.iter().any(|&byte| byte != 0xff)
}

fn without_sign(encoded: &[u8; 32]) -> [u8; 32] {
    let mut y = *encoded;
    y[31] &= 0x7f;
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_of_low_order_are_those_of_the_curve() {
        for encoded in LOW_ORDER {
            for sign in [0, 0x80] {
                let mut encoded = encoded;
                encoded[31] |= sign;
                assert!(is_low_order(&encoded));
                assert!(!is_key(&encoded));
            }
        }
        for point in curve25519_dalek::constants::EIGHT_TORSION {
            assert!(is_low_order(point.compress().as_bytes()));
        }
    }

    /// RFC 8032 §5.1.7: s is less than the order.
    #[test]
    fn a_number_is_less_than_the_order() {
        let base = curve25519_dalek::constants::ED25519_BASEPOINT_COMPRESSED;
        let plain = |number: &[u8; 32]| is_plain_signature(&[*base.as_bytes(), *number].concat());
        let mut less = ORDER;
        less[0] -= 1;
        assert!(plain(&less));
        assert!(plain(&[0; 32]));
        assert!(!plain(&ORDER));
        for place in 0..32 {
            let mut more = ORDER;
            more[place] += 1;
            assert!(!plain(&more), "{place}");
            let mut less = more;
            less[31] = 0x0f;
            assert_eq!(plain(&less), place != 31 || less < more, "{place}");
        }
        assert!(!plain(&[0xff; 32]));
        assert!(!is_plain_signature(&[0; 31]));
        assert!(!is_plain_signature(base.as_bytes()));
    }

    #[test]
    fn refuses_a_y_that_is_not_reduced() {
        for first in 0..=0xff {
            for last in [0x7f, 0xff] {
                let mut encoded = [0xff; 32];
                (encoded[0], encoded[31]) = (first, last);
                assert_eq!(is_reduced(&encoded), first < 0xed);
            }
        }
    }
}
