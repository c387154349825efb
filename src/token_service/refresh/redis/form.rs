//! How a family is written in Redis: a hash, whose fields are those of [`RefreshFamily`].

use std::collections::HashMap;

use crate::{
    store::StoreError,
    token_service::{
        grant::Grant,
        refresh::{Previous, RefreshFamily, Secret, TokenHash},
    },
};

/// Its fields, as name, value, name, value.
pub(super) fn write(family: &RefreshFamily) -> Result<Vec<String>, StoreError> {
    let grant = serde_json::to_string(&family.grant).map_err(StoreError::new)?;
    let mut fields = vec![
        ("grant", grant),
        ("mark", family.mark.to_text()),
        ("current", family.current.to_text()),
        ("begun_at", family.begun_at.to_string()),
        ("ends_at", family.ends_at.to_string()),
        ("idle_until", family.idle_until.to_string()),
    ];
    if let Some(previous) = &family.previous {
        let seed = previous.seed.as_ref().map(Secret::to_text);
        fields.extend([
            ("previous", previous.hash.to_text()),
            ("rotated_at", previous.rotated_at.to_string()),
            ("seed", seed.unwrap_or_default()),
        ]);
    }
    let fields = fields.into_iter();
    Ok(fields
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect())
}

/// The family of these fields; `None` if there are none.
pub(super) fn read(
    id: &str,
    fields: &HashMap<String, String>,
) -> Result<Option<RefreshFamily>, StoreError> {
    if fields.is_empty() {
        return Ok(None);
    }
    match family(id, fields) {
        Some(family) => Ok(Some(family)),
        None => Err(unreadable(id)),
    }
}

/// The id is no secret, and with it the family can be ended.
pub(super) fn unreadable(id: &str) -> StoreError {
    StoreError::new(format!("the refresh family {id:?} in Redis cannot be read"))
}

pub(super) fn grant(json: &str) -> Option<Grant> {
    serde_json::from_str(json).ok()
}

fn family(id: &str, fields: &HashMap<String, String>) -> Option<RefreshFamily> {
    let field = |name: &str| fields.get(name).map(String::as_str);
    let seconds = |name: &str| field(name)?.parse().ok();
    let previous = match field("previous") {
        None => None,
        Some(hash) => Some(Previous {
            hash: TokenHash::parse(hash)?,
            rotated_at: seconds("rotated_at")?,
            seed: match field("seed") {
                None | Some("") => None,
                Some(seed) => Some(Secret::parse(seed)?),
            },
        }),
    };
    Some(RefreshFamily {
        id: id.to_owned(),
        grant: grant(field("grant")?)?,
        mark: Secret::parse(field("mark")?)?,
        current: TokenHash::parse(field("current")?)?,
        previous,
        begun_at: seconds("begun_at")?,
        ends_at: seconds("ends_at")?,
        idle_until: seconds("idle_until")?,
    })
}
