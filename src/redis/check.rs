//! [`RedisCheck`]: whether Redis may throw away what it was given to keep.

use redis::Value;

use super::{Redis, call::Call, connection::Live};
use crate::store::StoreError;

/// What was found out about the settings of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisCheck {
    policies: Vec<String>,
}

/// The only policy by which Redis keeps what it has when its memory is full.
const KEEPS: &str = "noeviction";

impl RedisCheck {
    fn of(info: &Value) -> Self {
        let mut policies = Vec::new();
        collect(info, &mut policies);
        policies.sort_unstable();
        policies.dedup();
        Self { policies }
    }

    /// The `maxmemory-policy` of the server, or of each node of a cluster that answered, each once. Empty if Redis does
    /// not say it.
    pub fn maxmemory_policies(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(String::as_str)
    }

    /// The first policy by which Redis throws keys away when its memory is full. Sessions and revocations are lost
    /// then: set `maxmemory-policy noeviction`.
    pub fn evicting_policy(&self) -> Option<&str> {
        self.maxmemory_policies().find(|policy| *policy != KEEPS)
    }
}

/// The answers of all nodes, in whatever form they come.
fn collect(info: &Value, policies: &mut Vec<String>) {
    let text = match info {
        Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        Value::Array(values) | Value::Set(values) => {
            return values.iter().for_each(|value| collect(value, policies));
        }
        Value::Map(pairs) => return pairs.iter().for_each(|(_, value)| collect(value, policies)),
        _ => return,
    };
    let lines = text.lines();
    policies.extend(
        lines
            .filter_map(|line| line.strip_prefix("maxmemory_policy:"))
            .map(|policy| policy.trim().to_owned()),
    );
}

fn question() -> Call<'static> {
    Call::command("INFO").word("memory")
}

impl Redis {
    /// Asks Redis for its settings.
    pub(crate) async fn check(&self) -> Result<RedisCheck, StoreError> {
        let info: Value = self.call(&question()).await?;
        Ok(RedisCheck::of(&info))
    }
}

/// Asks a connection that is new, and tells of a policy that throws keys away. A server that does not say what its
/// policy is, is taken as it is.
pub(super) async fn warn(live: &mut Live) {
    if let Ok(info) = live.send::<Value>(&question().build(false)).await
        && let Some(policy) = RedisCheck::of(&info).evicting_policy()
    {
        evicts(policy);
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn evicts(policy: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_bearer",
        maxmemory_policy = %crate::observe::Line(policy),
        "Redis may evict keys: set maxmemory-policy noeviction"
    );
}
