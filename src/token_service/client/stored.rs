//! How a [`Client`] is written and read by serde, for stores.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{Client, GrantType, assertion::AssertionKeys};

/// Counted up when a reader of the former one would misread it.
const VERSION: u8 = 1;

/// What is written. A member that is not known is an error, because a client is not to have more, or be proven by
/// less, than whoever has written it wanted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    v: u8,
    id: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    public: bool,
    /// As [`SecretHash`](super::SecretHash) is displayed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    may_introspect: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant_types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    audiences: Vec<String>,
    /// In seconds, as those that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_token_lifetime: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token_idle_lifetime: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token_lifetime: Option<u64>,
}

impl Serialize for Client {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names =
            |types: &Vec<GrantType>| types.iter().map(|one| one.name().to_owned()).collect();
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
        let jwks = match &self.keys {
            Some(AssertionKeys::Set { json, .. }) => Some(json.clone()),
            #[cfg(feature = "jwks")]
            Some(AssertionKeys::Remote(_)) => {
                return Err(serde::ser::Error::custom(
                    "a client whose keys come from the network cannot be written: keep the URL",
                ));
            }
            None => None,
        };
        let stored = Stored {
            jwks,
            may_introspect: self.may_introspect,
            v: VERSION,
            id: self.id.clone(),
            public: self.public,
            secrets: self.secrets.iter().map(ToString::to_string).collect(),
            grant_types: self.grant_types.as_ref().map(names),
            subject: self.subject.clone(),
            scope: self.scope.clone(),
            audiences: self.audiences.clone(),
            access_token_lifetime: seconds(self.access_token_lifetime),
            refresh_token_idle_lifetime: seconds(self.refresh_token_idle_lifetime),
            refresh_token_lifetime: seconds(self.refresh_token_lifetime),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Client {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        if stored.v != VERSION {
            return Err(D::Error::custom(format_args!(
                "a client of version {}, and only {VERSION} can be read",
                stored.v
            )));
        }
        let mut builder = match stored.public {
            true => Self::public(stored.id),
            false => Self::builder(stored.id),
        };
        for secret in stored.secrets {
            builder = builder.secret(secret.parse().map_err(D::Error::custom)?);
        }
        if let Some(names) = stored.grant_types {
            let types = names.iter().map(|name| {
                GrantType::from_name(name).ok_or_else(|| {
                    D::Error::custom(format_args!("the grant type {name:?} is not known"))
                })
            });
            builder = builder.grant_types(types.collect::<Result<Vec<_>, _>>()?);
        }
        let client = &mut builder.0;
        client.jwks = stored.jwks;
        client.may_introspect = stored.may_introspect;
        client.subject = stored.subject;
        client.scope = stored.scope;
        client.audiences = stored.audiences;
        client.access_token_lifetime = stored.access_token_lifetime.map(Duration::from_secs);
        client.refresh_token_idle_lifetime =
            stored.refresh_token_idle_lifetime.map(Duration::from_secs);
        client.refresh_token_lifetime = stored.refresh_token_lifetime.map(Duration::from_secs);
        builder.build().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token_service::SecretHash;

    #[test]
    fn a_client_is_read_as_it_was_written() {
        let (_, hash) = SecretHash::generate().unwrap();
        let hour = Duration::from_secs(3600);
        let plain = Client::builder("svc").secret(hash.clone());
        let full = plain
            .clone()
            .secret(hash)
            .grant_types([GrantType::ClientCredentials, GrantType::RefreshToken])
            .subject("the service")
            .scope("read write")
            .audience("https://a.example")
            .audience("https://b.example")
            .access_token_lifetime(hour)
            .refresh_token_idle_lifetime(hour * 24)
            .refresh_token_lifetime(hour * 48);
        let key =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let keyed = Client::builder("keyed")
            .jwks(format!(r#"{{"keys":[{key}]}}"#))
            .may_introspect();
        for builder in [plain, full, keyed, Client::public("spa").grant_types([])] {
            let client = builder.build().unwrap();
            let written = serde_json::to_string(&client).unwrap();
            let read: Client = serde_json::from_str(&written).unwrap();
            assert_eq!(format!("{read:?}"), format!("{client:?}"));
            assert_eq!(serde_json::to_string(&read).unwrap(), written);
        }
    }

    #[test]
    fn a_client_that_could_not_be_built_is_not_read() {
        for written in [
            r#"{"v":1,"id":"svc"}"#,
            r#"{"v":2,"id":"spa","public":true}"#,
            r#"{"v":1,"id":"spa","public":true,"keys":[]}"#,
            r#"{"v":1,"id":"spa","public":true,"grant_types":["password"]}"#,
            r#"{"v":1,"id":"spa","public":true,"secrets":["$hmac-sha256$"]}"#,
            r#"{"v":1,"id":"spa","public":true,"access_token_lifetime":0}"#,
        ] {
            assert!(
                serde_json::from_str::<Client>(written).is_err(),
                "{written}"
            );
        }
        let spa = r#"{"v":1,"id":"spa","public":true}"#;
        assert!(serde_json::from_str::<Client>(spa).is_ok());
    }
}
