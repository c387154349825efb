//! The points of Ed25519 with which a signature proves nothing, and numbers that are no coordinate.

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

/// Whether these bytes are the canonical encoding of a point of low order.
pub(super) fn is_low_order(encoded: &[u8; 32]) -> bool {
    LOW_ORDER.contains(&without_sign(encoded))
}

/// Whether the y in these bytes is below 2^255 - 19, as RFC 8032 §5.1.3 has it. That there is a point
/// with it is for the backend to find out.
pub(super) fn is_reduced(encoded: &[u8; 32]) -> bool {
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

    #[cfg(feature = "rust-crypto")]
    #[test]
    fn knows_every_point_of_low_order() {
        for encoded in LOW_ORDER {
            for sign in [0, 0x80] {
                let mut encoded = encoded;
                encoded[31] |= sign;
                assert!(is_low_order(&encoded));
                assert!(
                    ed25519_dalek::VerifyingKey::from_bytes(&encoded)
                        .unwrap()
                        .is_weak()
                );
            }
        }
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
