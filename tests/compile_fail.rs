//! What the compiler says to the mistakes that users make: where the mend is.
//!
//! Its words differ from version to version, and these are of Rust 1.95 with `--features full`; other
//! compilers leave the test out. To write them anew:
//! `TRYBUILD=overwrite cargo test --features full --test compile_fail -- --ignored`.

#![cfg(all(feature = "jwt", feature = "_crypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[test]
#[ignore = "holds for the words of Rust 1.95"]
fn the_compiler_names_the_mend() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
