use std::collections::{BTreeMap, HashMap};

use allocation_counter::measure;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::of;

/// What the allocator gives for it.
fn taken<C: DeserializeOwned>(json: &str) -> usize {
    let mut read = None;
    let taken = measure(|| read = serde_json::from_str::<C>(json).ok());
    assert!(read.is_some(), "{json:.100}");
    usize::try_from(taken.bytes_current).unwrap()
}

/// Payloads that become as large as can be, each by another shape.
fn payloads() -> Vec<String> {
    let mut payloads = vec![
        "{}".to_owned(),
        r#"{"a":1}"#.to_owned(),
        r#"{"a":[]}"#.to_owned(),
        r#"{"":"\u0041"}"#.to_owned(),
    ];
    for (count, repeated) in [
        (1_500, r#"{"":0}"#),
        (1_500, r#"{"":""}"#),
        (1_500, "[0]"),
        (3_000, "[]"),
        (3_000, "{}"),
        (5_000, "0"),
        (2_500, r#""a""#),
        (1_000, r#"{"":{}}"#),
        (500, r#"{"a":{"b":[{}]}}"#),
    ] {
        for count in [1, 2, 5, 9, 17, count] {
            payloads.push(format!(r#"{{"a":[{}]}}"#, vec![repeated; count].join(",")));
        }
    }
    // Members in order, in the reverse order, and in none.
    for count in [7, 8, 10, 11, 12, 15, 29, 57, 58, 113, 225, 1_000] {
        for order in [1, 7, 11] {
            let members = (0..count).map(|n| format!(r#""{:x}":0"#, n * order % 1_013));
            payloads.push(format!("{{{}}}", members.collect::<Vec<_>>().join(",")));
            let members = (0..count).map(|n| format!(r#""{:x}":0"#, (count - n) * 3));
            payloads.push(format!("{{{}}}", members.collect::<Vec<_>>().join(",")));
        }
    }
    // Many maps, each of the size at which it grows.
    for count in [8, 12, 15] {
        let members: Vec<_> = (0..count).map(|n| format!(r#""{n}":0"#)).collect();
        let objects = vec![format!("{{{}}}", members.join(",")); 50];
        payloads.push(format!(r#"{{"a":[{}]}}"#, objects.join(",")));
    }
    let depth = 120;
    payloads.push(format!(
        r#"{{"a":{}{}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    ));
    payloads.push(format!("{}0{}", r#"{"":"#.repeat(depth), "}".repeat(depth)));
    payloads
}

#[test]
fn a_value_takes_no_more_whatever_its_shape() {
    for json in payloads() {
        let (taken, bound) = (taken::<Value>(&json), of::<Value>(&json));
        assert!(taken <= bound, "{taken} > {bound}: {json:.200}");
        // Nor is it so much less that the bound says nothing, unless there is nothing in it: an empty
        // object may also be a struct with nothing but defaults.
        let empty = json.contains("{}") || json.contains("[]");
        assert!(
            empty || bound <= taken * 4 + 1_500,
            "{bound} of {taken}: {json:.200}"
        );
    }
}

#[test]
fn a_map_of_one_s_own_takes_no_more() {
    for json in payloads() {
        let bound = of::<HashMap<String, Value>>(&json);
        for taken in [
            taken::<HashMap<String, Value>>(&json),
            taken::<BTreeMap<String, Value>>(&json),
        ] {
            assert!(taken <= bound, "{taken} > {bound}: {json:.200}");
        }
    }
}

#[test]
fn a_list_of_structs_takes_no_more() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Role {
        name: String,
        label: Option<String>,
        more: Option<[u64; 16]>,
        rights: Vec<String>,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Roles {
        roles: Vec<Role>,
    }

    for count in [1, 3, 5, 9, 33, 400] {
        let roles = vec![r#"{"name":"a","rights":["r"]}"#; count].join(",");
        let json = format!(r#"{{"roles":[{roles}]}}"#);
        let (taken, bound) = (taken::<Roles>(&json), of::<Roles>(&json));
        assert!(taken <= bound, "{taken} > {bound}: {count}");
    }
}

/// A seeded walk over all of JSON's grammar.
#[test]
fn a_random_value_takes_no_more() {
    struct Random(u64);
    impl Random {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) % end
        }
        fn value(&mut self, depth: u64, json: &mut String) {
            match self.below(if depth > 5 { 4 } else { 8 }) {
                0 => json.push('0'),
                1 => json.push_str("-1.5e3"),
                2 => json.push_str("null"),
                3 => {
                    json.push('"');
                    json.extend((0..self.below(20)).map(|_| 'x'));
                    json.push_str(r#"\n{[:,""#);
                }
                4 | 5 => {
                    json.push('[');
                    for n in 0..self.below(10) {
                        if n > 0 {
                            json.push(',');
                        }
                        self.value(depth + 1, json);
                    }
                    json.push(']');
                }
                _ => self.object(depth, json),
            }
        }
        fn object(&mut self, depth: u64, json: &mut String) {
            json.push('{');
            for n in 0..self.below(16) {
                if n > 0 {
                    json.push_str(" , ");
                }
                json.push_str(&format!(r#""{n}" : "#));
                self.value(depth + 1, json);
            }
            json.push('}');
        }
    }

    let mut random = Random(8);
    let mut checked = 0;
    while checked < 2_000 {
        let mut json = String::new();
        random.object(0, &mut json);
        if json.len() > 12_000 {
            continue;
        }
        let (taken, bound) = (taken::<Value>(&json), of::<Value>(&json));
        assert!(taken <= bound, "{taken} > {bound}: {json:.200}");
        checked += 1;
    }
}

/// The usual payload of some 500 bytes, and claims that hold nothing.
#[test]
fn the_usual_token_counts_little() {
    let json = r#"{"iss":"https://login.example.com","sub":"user-0017","aud":"https://api.example.com",
        "exp":1700000300,"nbf":1700000000,"iat":1700000000,"jti":"7f3a9c","client_id":"svc",
        "scope":"read write","tenant":"acme","roles":["dev","ops"],"email":"a@example.com",
        "note":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#;
    let bound = of::<Value>(json);
    // The more where another crate of the tree has switched on `preserve_order` of serde_json.
    assert!((1_500..6_000).contains(&bound), "{bound}");
    assert_eq!(of::<()>(json), 0);
    assert_eq!(of::<(u64, bool)>(json), 0);
}
