//! Which RSA keys come from the smart cards and TPMs whose primes can be told from the modulus
//! (ROCA, CVE-2017-15361).
//!
//! Their primes are k·M + 65537^a mod M, for a product M of the first primes. So the modulus is a
//! power of 65537 modulo each of these, which is true of one other key in a hundred million.

const PRIMES: [u8; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether the big-endian modulus has the mark of these keys.
pub(super) fn is_weak(modulus: &[u8]) -> bool {
    PRIMES.into_iter().all(|prime| {
        let prime = u32::from(prime);
        let rest = modulus
            .iter()
            .fold(0, |rest, &byte| (rest << 8 | u32::from(byte)) % prime);
        // The powers return to 1 after at most prime - 1 steps.
        std::iter::successors(Some(1), |power| Some(power * 65537 % prime))
            .take(prime as usize)
            .any(|power| power == rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_powers_alone() {
        // 65537 and its square are powers modulo everything.
        assert!(is_weak(&[1, 0, 1]));
        assert!(is_weak(&[1, 0, 2, 0, 1]));
        // The modulus of RFC 7520 §3.4 ends so; any number that is no product of such primes will do.
        assert!(!is_weak(&[0x1d, 0xac, 0xd3, 0xf9, 0xcf]));
    }
}
