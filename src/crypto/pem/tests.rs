//! Attack 48: what PEM may look like, and what is said of the rest.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::random::Seeded;

const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
    -----END PUBLIC KEY-----\n";

fn contents() -> Vec<u8> {
    pem_rfc7468::decode_vec(KEY.as_bytes()).unwrap().1
}

#[track_caller]
fn reads(text: &str) {
    let pem = read(text.as_bytes(), "PUBLIC KEY");
    let pem = pem.unwrap_or_else(|error| unreadable(text, &error));
    assert_eq!(pem.label, "PUBLIC KEY", "{text:?}");
    assert_eq!(pem.contents, contents(), "{text:?}");
}

#[allow(clippy::panic)]
fn unreadable(text: &str, error: &ConfigError) -> Pem {
    panic!("{text:?}: {error}")
}

#[test]
fn attack_48_white_space_around_and_within_the_document_is_ignored() {
    for text in [
        KEY.to_owned(),
        KEY.trim().to_owned(),
        KEY.replace('\n', "\r\n"),
        KEY.replace('\n', "\r"),
        KEY.replace('\n', "\n\n"),
        KEY.replace('\n', " \t\n"),
        KEY.replace('\n', "\n    "),
        KEY.replace('\n', " "),
        KEY.replace('\n', ""),
        KEY.replace("V7", "V\n7"),
        format!("\u{feff}{KEY}"),
        format!("\n\n \t{KEY}\n \n\n"),
        format!("{KEY}\u{c}"),
        // RFC 7468 §2: explanatory text.
        format!("subject=issuer\n{KEY}"),
        format!("{KEY}end of file\n"),
        // The padding may be left out (RFC 7468 §3, laxbase64text).
        KEY.replace('=', ""),
        KEY.replace('=', " =\n"),
    ] {
        reads(&text);
    }
}

#[test]
fn attack_48_any_white_space_anywhere_in_the_base64_text() {
    let (begin, rest) = KEY.split_once('\n').unwrap();
    let (base64, end) = rest.split_once('\n').unwrap();
    let mut random = Seeded::new(48);
    for _ in 0..5_000 {
        let blanks = |random: &mut Seeded| {
            let count = random.below(4);
            let mut blanks = String::new();
            for _ in 0..count {
                let all = [" ", "\t", "\n", "\r\n", "\r", "\u{b}", "\u{c}"];
                blanks.push_str(all[random.below(all.len())]);
            }
            blanks
        };
        let mut text = String::new();
        if random.below(4) == 0 {
            text.push('\u{feff}');
        }
        text.push_str(&blanks(&mut random));
        text.push_str(begin);
        let often = random.below(30) + 1;
        for character in base64.chars() {
            if random.below(often) == 0 {
                text.push_str(&blanks(&mut random));
            }
            text.push(character);
        }
        text.push_str(&blanks(&mut random));
        text.push_str(end.trim_end());
        text.push_str(&blanks(&mut random));
        reads(&text);
    }
}

#[test]
fn attack_48_what_is_no_single_document_says_so() {
    let private = KEY.replace("PUBLIC KEY", "PRIVATE KEY");
    for (text, said) in [
        (String::new(), "the text is empty"),
        ("hello".into(), "there is no `-----BEGIN` in the text"),
        ("/etc/keys/public.pem".into(), "no `-----BEGIN`"),
        (r#"{"kty":"RSA"}"#.into(), "JSON"),
        (format!("{KEY}{KEY}"), "more than one PEM document"),
        (
            format!("{KEY}\n\n{private}"),
            r#"("PUBLIC KEY" and "PRIVATE KEY")"#,
        ),
        (KEY.replace('\n', "\\n"), "spelled `\\n`"),
        (KEY.replace("-----END PUBLIC KEY-----", ""), "cut off"),
        (
            KEY.replace("-----END PUBLIC KEY-----", "-----END PUB"),
            "cut off",
        ),
        (KEY.replace("-----END PUBLIC KEY-----", &private), "cut off"),
        (
            KEY.replace("END PUBLIC", "END PRIVATE"),
            "does not end as such",
        ),
        (
            KEY.replace("BEGIN PUBLIC KEY-----", "BEGIN PUBLIC KEY"),
            "the line that begins it",
        ),
        (KEY.replace("MCow", "M!ow"), "not base64"),
        (KEY.replace("MCow", "MéCow"), "not base64"),
        (KEY.replace("MCow", "M=ow"), "not a sound"),
        (KEY.replace("MCow", "M-ow"), "not base64"),
        (KEY.replace("HURo=", "HURp="), "not a sound"),
        (KEY.replace("HURo=", "HURo=="), "not a sound"),
        (KEY.replace("HURo=", "HURo=A"), "not a sound"),
        (
            KEY.replace("MCow", "Proc-Type: 4,ENCRYPTED\n\nMCow"),
            "RFC 1421",
        ),
        (KEY.replace("MCow", "Comment: a\n\nMCow"), "RFC 1421"),
        (
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n".into(),
            "empty",
        ),
        (
            format!("-----BEGIN {}", "A".repeat(100_000)),
            "the line that begins it",
        ),
    ] {
        let error = read(text.as_bytes(), "PUBLIC KEY").unwrap_err().to_string();
        assert!(error.contains(said), "{text:?}: {error}");
        assert!(error.len() < 300, "{error}");
    }
    let der = contents();
    let error = read(&der, "PUBLIC KEY").unwrap_err().to_string();
    assert!(error.contains("DER"), "{error}");
    let utf_16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(KEY.bytes().flat_map(|byte| [byte, 0]))
        .collect();
    let error = read(&utf_16, "PUBLIC KEY").unwrap_err().to_string();
    assert!(error.contains("UTF-16"), "{error}");
}

/// A document of any number of bytes, and cut off anywhere.
#[test]
fn a_document_of_any_length_is_read_whole_or_not_at_all() {
    for length in 1..200 {
        let bytes: Vec<u8> = (0..length).collect();
        let pem = pem_rfc7468::encode_string("PUBLIC KEY", Default::default(), &bytes).unwrap();
        assert_eq!(read(pem.as_bytes(), "PUBLIC KEY").unwrap().contents, bytes);
        if length % 40 == 0 {
            for cut in 0..pem.trim_end().len() {
                assert!(read(&pem.as_bytes()[..cut], "PUBLIC KEY").is_err());
            }
        }
    }
}
