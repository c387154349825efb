-- Families of refresh tokens. Times are in seconds since 1970.
CREATE TABLE tower_bearer_families (
    id TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    begun_at BIGINT NOT NULL,
    -- From then on it is good for nothing, if it is not used before.
    over_at BIGINT NOT NULL,
    -- Changes with each rotation: a writer that has read another one reads again.
    revision BIGINT NOT NULL,
    -- JSON, with hashes of its tokens.
    family TEXT NOT NULL
);
CREATE INDEX tower_bearer_families_client ON tower_bearer_families (client_id, over_at);
CREATE INDEX tower_bearer_families_subject ON tower_bearer_families (subject, over_at);
CREATE INDEX tower_bearer_families_over ON tower_bearer_families (over_at);

-- What was revoked before it expired. Rows are added, and removed once they are over.
CREATE TABLE tower_bearer_revocations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 0: the token whose jti is in `name`; 1: tokens of that client; 2: tokens of that subject.
    kind BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- Of a client or a subject: tokens issued up to then. Of a token: when it expires.
    until BIGINT NOT NULL,
    kept_until BIGINT NOT NULL
);
CREATE INDEX tower_bearer_revocations_over ON tower_bearer_revocations (kept_until);

CREATE TABLE tower_bearer_clients (
    id TEXT NOT NULL PRIMARY KEY,
    -- JSON, with hashes of its secrets.
    client TEXT NOT NULL
);

-- Client assertions that were used (private_key_jwt).
CREATE TABLE tower_bearer_assertions (
    -- A hash of the client and the jti.
    id TEXT NOT NULL PRIMARY KEY,
    -- Who has used it, so that whoever asks again because an answer was lost is not taken for another.
    used_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX tower_bearer_assertions_over ON tower_bearer_assertions (expires_at);
