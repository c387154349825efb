//! Which resources a request names (RFC 8707), in any of the spellings that RFC 3986 §6.2 makes equivalent.

use std::borrow::Cow;

use http::Uri;

/// Those of the audiences that the resources name; `None` if one of them names none.
pub(super) fn named(audiences: &[String], resources: &[&str]) -> Option<Vec<String>> {
    let mut found = vec![false; audiences.len()];
    for resource in resources {
        // The same spelling wins, so that two audiences that differ only by it can both be asked for.
        let exact = audiences.iter().position(|known| known == resource);
        let position = exact.or_else(|| {
            let resource = normalized(resource)?;
            audiences
                .iter()
                .position(|known| normalized(known).is_some_and(|known| known == resource))
        });
        *found.get_mut(position?)? = true;
    }
    let named = audiences.iter().zip(found).filter(|(_, found)| *found);
    Some(named.map(|(audience, _)| audience.clone()).collect())
}

/// The normal form of a URL of http or https: scheme and host in lower case, no default port, `/` for an empty path,
/// and percent-encoding only where it is needed, in upper case (RFC 3986 §6.2.2, §6.2.3). `None` for any other text,
/// and for what no resource may have: a fragment (RFC 8707 §2), or a user.
fn normalized(text: &str) -> Option<String> {
    if text.contains(['#', '@']) {
        return None;
    }
    let uri: Uri = text.parse().ok()?;
    let default_port = match uri.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = uri.authority()?.as_str();
    // An empty port is the default one too.
    let (host, port) = match uri.port_u16() {
        Some(port) => (authority.rsplit_once(':')?.0, port),
        None => (
            authority.strip_suffix(':').unwrap_or(authority),
            default_port,
        ),
    };
    let host = host.to_ascii_lowercase();
    let scheme = uri.scheme_str()?;
    let path = match uri.path() {
        "" => "/",
        path => path,
    };
    let mut normal = format!("{scheme}://{host}");
    if port != default_port {
        normal.push_str(&format!(":{port}"));
    }
    normal.push_str(&unencoded(path));
    if let Some(query) = uri.query() {
        normal.push('?');
        normal.push_str(&unencoded(query));
    }
    Some(normal)
}

/// Decodes unreserved characters, and writes the other encoded bytes in upper case (RFC 3986 §6.2.2.1, §6.2.2.2).
fn unencoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split('%');
    let mut normal = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (Some(byte), Some(rest)) = (byte, part.get(2..)) else {
            normal.push('%');
            normal.push_str(part);
            continue;
        };
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            normal.push(char::from(byte));
        } else {
            normal.push_str(&format!("%{byte:02X}"));
        }
        normal.push_str(rest);
    }
    Cow::Owned(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_of(audience: &str, resource: &str) -> bool {
        named(&[audience.to_owned()], &[resource]).is_some()
    }

    /// RFC 3986 §6.2.2 and §6.2.3: equivalent spellings name the same resource, and no others do.
    #[test]
    fn equivalent_spellings_name_a_resource_and_no_others() {
        const API: &str = "https://api.example.com";
        for same in [
            API,
            "https://api.example.com/",
            "https://api.example.com:443",
            "https://api.example.com:443/",
            "https://api.example.com:/",
            "HTTPS://API.Example.COM",
        ] {
            assert!(named_of(API, same), "{same}");
            assert!(named_of(same, API), "{same}");
        }
        for other in [
            "http://api.example.com",
            "https://api.example.com:80",
            "https://api.example.com:4430",
            "https://api.example.com/a",
            "https://api.example.com//",
            "https://api.example.com?",
            "https://api.example.com/?a",
            "https://api.example.com#a",
            "https://api.example.com/#",
            "https://user@api.example.com",
            "https://api.example.com.",
            "https://api.example.com.evil.example",
            "api.example.com",
            "https://",
            "",
            " https://api.example.com",
        ] {
            assert!(!named_of(API, other), "{other}");
        }
        for (one, other, same) in [
            ("https://a.example/%7Eb", "https://a.example/~b", true),
            ("https://a.example/%2fb", "https://a.example/%2Fb", true),
            ("https://a.example/%2Fb", "https://a.example//b", false),
            ("https://a.example/b", "https://a.example/B", false),
            ("https://a.example/b", "https://a.example/b/", false),
            ("https://a.example/%", "https://a.example/%25", false),
            ("https://[::1]:443/", "https://[::1]", true),
            ("https://[::1]:444/", "https://[::1]", false),
            ("urn:example:api", "urn:example:api", true),
            ("urn:example:api", "URN:example:api", false),
        ] {
            assert_eq!(named_of(one, other), same, "{one} {other}");
        }
    }

    #[test]
    fn configured_spelling_is_given_and_the_same_spelling_wins() {
        let audiences = ["https://a.example", "https://a.example/", "urn:b"].map(str::to_owned);
        for (resources, expected) in [
            (
                &["https://a.example/"][..],
                Some(&["https://a.example/"][..]),
            ),
            (&["https://A.example:443"], Some(&["https://a.example"])),
            (
                &["urn:b", "https://a.example"],
                Some(&["https://a.example", "urn:b"]),
            ),
            (&["urn:b", "urn:b"], Some(&["urn:b"])),
            (&["urn:b", "urn:c"], None),
        ] {
            let expected = expected.map(|all| all.iter().map(ToString::to_string).collect());
            assert_eq!(named(&audiences, resources), expected, "{resources:?}");
        }
    }
}
