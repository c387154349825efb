//! What is a URL, what of it is shown, and that all who read it agree.

use super::*;

/// Attack 48, RFC 3986 §2 and §3, RFC 9110 §4.2.
#[test]
fn only_a_uri_with_a_host_and_port_that_exist_is_a_url() {
    for (url, ok) in [
        ("https://login.example.com", true),
        ("https://login.example.com/jwks?tenant=a%2Fb", true),
        ("HTTPS://LOGIN.example.com/", true),
        ("http://[::1]:4500/jwks", true),
        ("http://[::ffff:127.0.0.1]/", true),
        ("https://login.example.com:65535/", true),
        ("https://login.example.com:00443/", true),
        ("https://login.example.com:/", true),
        ("https://xn--nxasmq6b.example/%C3%BC", true),
        ("https://a_b.example.com/~a/(b)/!$&'*+,;=:@", true),
        ("https://login.example.com:65536/", false),
        ("https://login.example.com:99999/", false),
        ("https://login.example.com:18446744073709551617/", false),
        ("https://login.example.com:0/", false),
        ("https://login.example.com:-1/", false),
        ("https://login.example.com:80a/", false),
        ("https://login.example.com:80:80/", false),
        ("https://login.example.com/ü", false),
        ("https://login.exämple.com/", false),
        ("https://login.example.com/%zz", false),
        ("https://login.example.com/%2", false),
        ("https://login.example.com/a b", false),
        ("https://login.example.com/a\\b", false),
        ("https:\\\\login.example.com/", false),
        ("https://login.example.com/\"", false),
        ("https://login.example.com/<a>", false),
        ("https://login.example.com/{a}", false),
        ("https://login.example.com/?a|b", false),
        ("https://login.example.com/[a]", false),
        ("https://login.example.com/?[a]", false),
        ("https://login.example.com/\r\n", false),
        (" https://login.example.com/", false),
        ("https://login.example.com/\t", false),
        ("https://login.example.com/\0", false),
        ("\u{feff}https://login.example.com/", false),
        ("https://login.example.com/#keys", false),
        ("https://user:password@login.example.com/", false),
        ("https://@login.example.com/", false),
        ("https://[fe80::1%25eth0]/", false),
        ("https://[fe80::1%eth0]/", false),
        ("https://[::1", false),
        ("https://::1/", false),
        ("https://[]/", false),
        ("https://[::1]a/", false),
        ("https://a[b]/", false),
        ("https://%6cogin.example.com/", false),
        ("https://", false),
        ("https:///jwks", false),
        ("https://:443/", false),
        ("https:", false),
        ("https:jwks", false),
        ("https:/jwks", false),
        ("//login.example.com/jwks", false),
        ("/jwks", false),
        ("login.example.com", false),
        ("login.example.com:443/jwks", false),
        ("ftp://login.example.com/", false),
        ("file:///etc/passwd", false),
        ("urn:example:keys", false),
        ("", false),
    ] {
        assert_eq!(web(url).is_ok(), ok, "{url:?}: {:?}", web(url));
    }
}

#[test]
fn other_schemes_are_uris_too() {
    for (uri, ok) in [
        ("urn:problem:", true),
        ("tag:example.com,2026:errors/", true),
        ("https://docs.example.com/errors#", true),
        ("mailto:errors@example.com", true),
        ("https://docs.example.com:99999/", false),
        ("https:", false),
        ("https:errors", false),
        ("https://", false),
        ("https://a@docs.example.com/", false),
        ("urn:a b", false),
        ("errors/", false),
        (":x", false),
        ("1a:x", false),
    ] {
        assert_eq!(check(uri).is_ok(), ok, "{uri:?}");
    }
    assert!(same_authority("https://a.example/", "https://a.example/x"));
    assert!(same_authority("urn:a:", "urn:a:x"));
    assert!(!same_authority("https://a.example", "https://a.examplex"));
    assert!(!same_authority(
        "https://a.example:8",
        "https://a.example:80"
    ));
}

/// Attack 44.
#[test]
fn an_error_shows_no_query_and_no_user_information() {
    for (url, expected) in [
        (
            "https://login.example.com/jwks",
            "https://login.example.com/jwks",
        ),
        ("https://h/jwks?key=s3cret", "https://h/jwks…"),
        ("https://h/jwks#s3cret", "https://h/jwks…"),
        ("https://user:s3cret@h/jwks", "https://…@h/jwks"),
        ("https://h/@scope", "https://h/@scope"),
        ("https://user:s3cret@h/@scope", "https://…@h/@scope"),
        ("https:/user:s3cret@h/ü", "…@h/ü"),
        ("https:user:s3cret@h", "…@h"),
        ("user:s3cret@h//x", "…@h//x"),
        ("s3cret@s3cret@h", "…@h"),
        ("a\r\nb\u{202e}\"", "a\\r\\nb\\u{202e}\\\""),
    ] {
        assert_eq!(shown(url), expected, "{url:?}");
    }
    let long = shown(&"ü".repeat(1000));
    assert_eq!(long.chars().count(), LONGEST + 1, "{long}");
    let flood = shown(&"\n".repeat(100_000));
    assert!(flood.len() < 500, "{flood}");
}

/// SplitMix64 (Steele, Lea and Flood, 2014), for texts that are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    /// Mostly one of the good ones.
    fn one<'a>(&mut self, good: &[&'a str], odd: &[&'a str]) -> &'a str {
        let of = if self.below(5) > 0 { good } else { odd };
        of[self.below(of.len())]
    }
}

/// A URL of parts in the right order, most of them good, and now and then with another character
/// somewhere.
fn odd_url(random: &mut Random) -> String {
    let mut url = String::new();
    let mut add = |good: &[&'static str], odd: &[&'static str]| {
        url.push_str(random.one(good, odd));
    };
    add(
        &["https", "http", "HTTPS"],
        &["ftp", "h", "", "1", "ht tp", "https:", "ws"],
    );
    add(&["://"], &[":", ":/", "//", ":///", "\\\\"]);
    add(&[""], &["u@", "u:p@", "@", "%41@", "a@b@", "ü@", "u:p"]);
    add(
        &[
            "h",
            "login.example.com",
            "127.0.0.1",
            "[::1]",
            "xn--a",
            "a_b",
            "!$&'()*+,;=",
            "127.1",
            "[v1.a]",
            "a..b",
        ],
        &[
            "256.1.1.1",
            "[::1%25a]",
            "[::g]",
            "[",
            "]",
            "",
            "ü",
            "%41",
            "%zz",
            "a b",
            "-",
            ".",
            "0x7f000001",
            "h\\x",
        ],
    );
    add(
        &["", "", ":", ":1", ":65535", ":00080", ":000000000080"],
        &[
            ":0", ":65536", ":99999", ":-1", ":+1", ":8a", ":８０", ": 80", ":80:80", ":00000",
        ],
    );
    for _ in 0..random.below(4) {
        url.push_str(random.one(
            &[
                "/", "/a", "//", "/..", "/%2e", "/:@", "/~", "/;a", "?a=b", "?", "/%C3%BC",
            ],
            &[
                "/%", "/%zz", "/ü", "/a b", "/\\", "#", "#a", "/[", "/]", "/\"", "/<", "/{", "/|",
                "/^", "/`", "\t", "\r\n", "\0", "?%f", "\u{feff}", "\u{2028}", "a",
            ],
        ));
    }
    if random.below(8) == 0 && !url.is_empty() {
        let mut characters: Vec<char> = url.chars().collect();
        let at = random.below(characters.len());
        characters[at] = char::from(random.below(128) as u8);
        url = characters.into_iter().collect();
    }
    url
}

/// Another reader of RFC 3986 gives the same verdict on what is a URI, and the client that fetches
/// a URL goes to the host and port and asks for the path and query that stand in it.
#[test]
fn all_who_read_a_url_agree() {
    let mut random = Random(20_260_101);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..200_000 {
        let url = odd_url(&mut random);
        let strict = fluent_uri::Uri::parse(url.as_str());
        assert_eq!(UriStr::new(&url).is_ok(), strict.is_ok(), "{url:?}");
        let Ok(uri) = web(&url) else {
            bad += 1;
            continue;
        };
        good += 1;
        let strict = strict.unwrap();
        let authority = strict.authority().unwrap();
        assert!(
            uri.scheme_str()
                .unwrap()
                .eq_ignore_ascii_case(strict.scheme().as_str())
        );
        assert_eq!(uri.host(), Some(authority.host()), "{url:?}");
        let port = authority
            .port()
            .map(|port| port.as_str())
            .filter(|port| !port.is_empty());
        assert_eq!(
            uri.port_u16(),
            port.map(|port| port.parse().unwrap()),
            "{url:?}"
        );
        assert!(uri.port_u16().is_none_or(|port| port > 0), "{url:?}");
        let path = Some(strict.path().as_str()).filter(|path| !path.is_empty());
        assert_eq!(uri.path(), path.unwrap_or("/"), "{url:?}");
        assert_eq!(
            uri.query(),
            strict.query().map(|query| query.as_str()),
            "{url:?}"
        );
        assert!(
            strict.fragment().is_none() && authority.userinfo().is_none(),
            "{url:?}"
        );
        assert!(url.is_ascii() && check(&url).is_ok(), "{url:?}");
    }
    assert!(good > 5_000 && bad > 50_000, "{good} good, {bad} bad");
}
