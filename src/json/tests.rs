use super::*;

#[test]
fn depth_is_counted_outside_of_strings() {
    for (json, expected) in [
        ("1", 0),
        ("{}", 1),
        (r#"{"a":[{}],"b":[[[]]]}"#, 4),
        (r#"{"[[[":"{{{"}"#, 1),
        (r#"["\"[[[", "\\", []]"#, 2),
        (r#"["\\\"[[[[", {}]"#, 2),
        ("]]]][", 1),
        (r#"["unfinished [["#, 1),
        (r#"["unfinished \"#, 1),
    ] {
        assert_eq!(depth(json), expected, "{json}");
    }
}

/// What this lets pass serde_json reads into a value, and what it does not serde_json refuses.
#[test]
fn the_limit_of_depth_is_that_of_serde_json() {
    for depth in [1, 126, 127, 128, 129, 6000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let json = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            let reads = serde_json::from_str::<serde_json::Value>(&json).is_ok();
            assert_eq!(is_shallow(&json), reads, "{depth} {open}");
            assert_eq!(is_shallow(&json), depth <= MAX_DEPTH);
        }
    }
    // Many, but not in each other.
    assert!(is_shallow(&format!("[{}0]", "[],{},".repeat(1000))));
    assert!(is_shallow(&format!("[\"{}\"]", "[{".repeat(1000))));
}

#[cfg(all(feature = "jwt", feature = "_crypto"))]
#[test]
fn private_names_are_found_at_any_depth_and_in_any_spelling() {
    let raw = r#""$serde_json::private::RawValue""#;
    let escaped = raw.replace('$', "\\u0024").replace("::p", ":\\u003ap");
    for name in [
        raw,
        &escaped,
        r#""$serde_json::private::Number""#,
        r#""$serde_json::private::""#,
    ] {
        for json in [
            format!("{{{name}:1}}"),
            format!("  {{{name}:\"1\"}}"),
            format!(r#"{{"a":{{{name}:1}}}}"#),
            format!(r#"{{"a":[1,[2,{{"b":3,{name}:"[]"}}]]}}"#),
            format!(r#"{{"a":{{"b":1,"b":{{{name}:1}}}}}}"#),
        ] {
            assert!(has_private_names(&json), "{json}");
        }
        // As a value it opens nothing.
        for json in [
            format!(r#"{{"sub":{name}}}"#),
            format!(r#"{{"a":[{name},{{"b":{name}}}]}}"#),
            "{\"serde_json::private::Number\":1}".to_owned(),
            "{\" $serde_json::private::Number\":1}".to_owned(),
            r#"{"\u0061":"\ud83d\ude00"}"#.to_owned(),
        ] {
            assert!(!has_private_names(&json), "{json}");
        }
    }
}
