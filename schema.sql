-- The database of a Scimlite appliance. A new file is made from this text; an existing file must be equal to it.
-- Instants are text, RFC 3339 in UTC with milliseconds ('2026-01-31T09:30:00.000Z'), so that they sort as they read.
-- Columns called *_key hold text under NFC and full Unicode case folding; the text as sent is in `resource`.

-- The appliance itself: one row.
CREATE TABLE appliance (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    created    TEXT NOT NULL,
    audit_seq  INTEGER NOT NULL,  -- last row of `audit`, kept apart from it so that a cut tail shows
    audit_hash TEXT NOT NULL,     -- its hash
    pruned_seq INTEGER NOT NULL,  -- last row that pruning removed from `audit`; 0: none
    pruned_hash TEXT NOT NULL,    -- its hash, which the first row that is left has before it
    leapt       TEXT,             -- when the clock was last found to have leapt forward; null: never
    users       INTEGER NOT NULL DEFAULT 0,  -- that SCIM sees; like the next kept by the triggers below
    groups      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Named bundles of settings for accounts.
CREATE TABLE profile (
    id                 INTEGER PRIMARY KEY,
    name               TEXT NOT NULL UNIQUE,
    max_users          INTEGER CHECK (max_users >= 0),          -- active accounts; null: no limit
    quota_gb           INTEGER CHECK (quota_gb >= 0),           -- default of its accounts; 0 or null: unlimited
    delete_after_days  INTEGER CHECK (delete_after_days >= 1),  -- for preserved accounts; null: never
    active_accounts    INTEGER NOT NULL DEFAULT 0,              -- both kept by the triggers below
    preserved_accounts INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Named places for the data of accounts.
CREATE TABLE storage (
    id                 INTEGER PRIMARY KEY,
    name               TEXT NOT NULL UNIQUE,
    enabled            INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    active_accounts    INTEGER NOT NULL DEFAULT 0,  -- both kept by the triggers below
    preserved_accounts INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The ordered rules that give a new account its profile and storage.
CREATE TABLE mapping (
    id               INTEGER PRIMARY KEY,
    position         INTEGER NOT NULL UNIQUE,  -- 1 is the top
    name             TEXT NOT NULL UNIQUE,
    attribute        TEXT,                     -- with "values": one of them under this name
    "values"         TEXT,                     -- JSON array of strings
    filter           TEXT,                     -- a SCIM filter; all three null: any user
    profile          INTEGER NOT NULL REFERENCES profile (id),
    storage          INTEGER NOT NULL REFERENCES storage (id),
    quota_gb         INTEGER CHECK (quota_gb >= 0),  -- null: follows the profile; 0: unlimited
    activation_email INTEGER NOT NULL CHECK (activation_email IN (0, 1)),
    CHECK ((attribute IS NULL) = ("values" IS NULL)),
    CHECK (attribute IS NULL OR filter IS NULL)
) STRICT;

-- The people: what the identity provider sent (`resource` and its keys) and the account that derives from it.
CREATE TABLE user (
    seq              INTEGER PRIMARY KEY,  -- order of creation: the order of lists
    id               TEXT NOT NULL UNIQUE CHECK (substr(id, 25) = printf('%012d', seq)),  -- a UUID that ends in `seq`
    resource         TEXT NOT NULL,        -- the attributes as sent: JSON without id, schemas and meta
    user_name_key    TEXT NOT NULL,
    username_key     TEXT NOT NULL,        -- the key of `username`
    display_name_key TEXT,
    external_id      TEXT,
    version          INTEGER NOT NULL,     -- counts the changes
    username         TEXT NOT NULL,
    email            TEXT NOT NULL,
    name             TEXT NOT NULL,
    upn              TEXT,
    status           TEXT NOT NULL CHECK (status IN ('active', 'preserved')),
    preserved_by     TEXT CHECK (preserved_by IN ('idp', 'admin')),
    preserved_at     TEXT,
    preserved_actor  TEXT,                 -- the token or administrator that did, as `audit` names it
    preserved_reason TEXT,                 -- why, in a sentence
    profile          INTEGER NOT NULL REFERENCES profile (id),
    storage          INTEGER NOT NULL REFERENCES storage (id),
    quota_gb         INTEGER CHECK (quota_gb >= 0),  -- null: follows the profile; 0: unlimited
    mapping          TEXT,                           -- name of the mapping that decided, at that time
    activation_email INTEGER NOT NULL CHECK (activation_email IN (0, 1)),
    managed_by       TEXT NOT NULL CHECK (managed_by IN ('idp', 'manual')),
    scim_visible     INTEGER NOT NULL CHECK (scim_visible IN (0, 1)),  -- 0 after DELETE
    removed          INTEGER,  -- row of `audit` that tells of the DELETE: who was removed later has the higher number
    legal_hold       INTEGER NOT NULL DEFAULT 0 CHECK (legal_hold IN (0, 1)),
    created          TEXT NOT NULL,
    modified         TEXT NOT NULL,
    CHECK ((status = 'preserved') = (preserved_by IS NOT NULL)),
    CHECK ((status = 'preserved') = (preserved_at IS NOT NULL)),
    CHECK ((scim_visible = 0) = (removed IS NOT NULL))
) STRICT;
-- Refuse a second visible user of the same userName, and one whose account would have the same name.
CREATE UNIQUE INDEX user_visible_name ON user (user_name_key) WHERE scim_visible = 1;
CREATE UNIQUE INDEX user_visible_account ON user (username_key) WHERE scim_visible = 1;
CREATE INDEX user_hidden ON user (user_name_key) WHERE scim_visible = 0;
CREATE INDEX user_hidden_account ON user (username_key) WHERE scim_visible = 0;
CREATE INDEX user_external_id ON user (external_id);
CREATE INDEX user_display_name ON user (display_name_key) WHERE scim_visible = 1;
CREATE INDEX user_status ON user (status) WHERE scim_visible = 1;
CREATE INDEX user_modified ON user (modified) WHERE scim_visible = 1;
-- By which a list by index comes to its place without reading the rows before it; for nothing else, as `+ 0` tells SQLite.
CREATE INDEX user_place ON user (seq + 0) WHERE scim_visible = 1;

-- The addresses of each user, for filters.
CREATE TABLE user_email (
    user      INTEGER NOT NULL REFERENCES user (seq) ON DELETE CASCADE,
    value_key TEXT NOT NULL,
    PRIMARY KEY (user, value_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_email_value ON user_email (value_key);

-- The groups that the identity provider sent.
CREATE TABLE "group" (
    seq              INTEGER PRIMARY KEY,  -- order of creation: the order of lists
    id               TEXT NOT NULL UNIQUE CHECK (substr(id, 25) = printf('%012d', seq)),  -- a UUID that ends in `seq`
    resource         TEXT NOT NULL,        -- the attributes as sent, without members: JSON
    display_name_key TEXT NOT NULL UNIQUE,
    external_id      TEXT,
    version          INTEGER NOT NULL,     -- counts the changes, those of members among them
    created          TEXT NOT NULL,
    modified         TEXT NOT NULL
) STRICT;
CREATE INDEX group_external_id ON "group" (external_id);
CREATE INDEX group_modified ON "group" (modified);

-- Users that are members of a group.
CREATE TABLE group_user (
    "group" INTEGER NOT NULL REFERENCES "group" (seq) ON DELETE CASCADE,
    user    INTEGER NOT NULL REFERENCES user (seq) ON DELETE CASCADE,
    PRIMARY KEY ("group", user)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_user_user ON group_user (user);

-- Groups that are members of a group.
CREATE TABLE group_group (
    "group"  INTEGER NOT NULL REFERENCES "group" (seq) ON DELETE CASCADE,
    subgroup INTEGER NOT NULL REFERENCES "group" (seq) ON DELETE CASCADE,
    PRIMARY KEY ("group", subgroup)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_group_subgroup ON group_group (subgroup);

-- What lists tell of all that there is.
CREATE TRIGGER user_appeared AFTER INSERT ON user WHEN new.scim_visible BEGIN
    UPDATE appliance SET users = users + 1;
END;
CREATE TRIGGER user_disappeared AFTER DELETE ON user WHEN old.scim_visible BEGIN
    UPDATE appliance SET users = users - 1;
END;
CREATE TRIGGER user_changed_sight AFTER UPDATE OF scim_visible ON user WHEN old.scim_visible <> new.scim_visible BEGIN
    UPDATE appliance SET users = users + new.scim_visible - old.scim_visible;
END;
CREATE TRIGGER group_appeared AFTER INSERT ON "group" BEGIN
    UPDATE appliance SET groups = groups + 1;
END;
CREATE TRIGGER group_disappeared AFTER DELETE ON "group" BEGIN
    UPDATE appliance SET groups = groups - 1;
END;

-- The counts of profiles and storages.
CREATE TRIGGER user_counted AFTER INSERT ON user BEGIN
    UPDATE profile SET active_accounts = active_accounts + (new.status = 'active'),
        preserved_accounts = preserved_accounts + (new.status = 'preserved') WHERE id = new.profile;
    UPDATE storage SET active_accounts = active_accounts + (new.status = 'active'),
        preserved_accounts = preserved_accounts + (new.status = 'preserved') WHERE id = new.storage;
END;
CREATE TRIGGER user_uncounted AFTER DELETE ON user BEGIN
    UPDATE profile SET active_accounts = active_accounts - (old.status = 'active'),
        preserved_accounts = preserved_accounts - (old.status = 'preserved') WHERE id = old.profile;
    UPDATE storage SET active_accounts = active_accounts - (old.status = 'active'),
        preserved_accounts = preserved_accounts - (old.status = 'preserved') WHERE id = old.storage;
END;
CREATE TRIGGER user_recounted AFTER UPDATE OF status, profile, storage ON user
WHEN old.status <> new.status OR old.profile <> new.profile OR old.storage <> new.storage BEGIN
    UPDATE profile SET active_accounts = active_accounts - (old.status = 'active'),
        preserved_accounts = preserved_accounts - (old.status = 'preserved') WHERE id = old.profile;
    UPDATE storage SET active_accounts = active_accounts - (old.status = 'active'),
        preserved_accounts = preserved_accounts - (old.status = 'preserved') WHERE id = old.storage;
    UPDATE profile SET active_accounts = active_accounts + (new.status = 'active'),
        preserved_accounts = preserved_accounts + (new.status = 'preserved') WHERE id = new.profile;
    UPDATE storage SET active_accounts = active_accounts + (new.status = 'active'),
        preserved_accounts = preserved_accounts + (new.status = 'preserved') WHERE id = new.storage;
END;

-- Bearer tokens. The secret itself is nowhere.
CREATE TABLE token (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    scope       TEXT NOT NULL CHECK (scope IN ('provision', 'read', 'admin')),
    phc         TEXT NOT NULL,  -- argon2id of the secret, PHC string
    fingerprint INTEGER NOT NULL CHECK (fingerprint BETWEEN 0 AND 65535),  -- 16 bits of the secret's 200
    created     TEXT NOT NULL,
    expires     TEXT NOT NULL,
    revoked     TEXT,
    replaced    TEXT,           -- id of the token that `rotate` made in its place
    last_used   TEXT
) STRICT, WITHOUT ROWID;

-- What was done, by whom and why: one row for each mutating request and each act, chained by `hash`.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY,
    at          TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    actor       TEXT NOT NULL,
    source      TEXT NOT NULL,
    action      TEXT NOT NULL,
    target_type TEXT,
    target_id   TEXT,
    target_name TEXT,
    -- Not IN: SQLite would make a table of the words for each row.
    verdict     TEXT NOT NULL CHECK (verdict = 'applied' OR verdict = 'unchanged' OR verdict = 'refused' OR verdict = 'failed'),
    status      INTEGER NOT NULL,
    scim_type   TEXT,
    reason      TEXT NOT NULL,
    changes     TEXT,  -- JSON object: attribute → {"old", "new"}
    mapping     TEXT,  -- JSON object: the decision of the mappings
    account     TEXT,  -- JSON object: {"after": the account, "before": what of it was different}; null: it was not there
    prev_hash   TEXT NOT NULL,
    hash        TEXT NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_request ON audit (request_id);
CREATE INDEX audit_target ON audit (target_id) WHERE target_id IS NOT NULL;
CREATE INDEX audit_not_applied ON audit (verdict) WHERE verdict <> 'applied';
CREATE INDEX audit_pruning ON audit (seq) WHERE action = 'audit.prune' AND verdict = 'applied';

-- By which words rows of the audit are found, beside the id of what they are about. It follows from them: no part of the
-- chain, and pruned with it.
CREATE TABLE audit_about (
    kind TEXT NOT NULL CHECK (kind IN ('name', 'member')),
    key  TEXT NOT NULL,     -- a name under NFC and full case folding; id of a member who came or went, or of a token that was replaced
    seq  INTEGER NOT NULL,
    PRIMARY KEY (key, kind, seq)
) STRICT, WITHOUT ROWID;

-- Receivers that the audit is forwarded to, and the last row that each is known to have.
CREATE TABLE forwarding (
    destination TEXT PRIMARY KEY,
    seq         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Public and stable: what a local product reads.
CREATE VIEW accounts AS
SELECT
    user.id,                    -- the key to use; the usernames of hidden accounts may repeat
    user.username,
    user.email,
    user.name,
    user.upn,
    user.status,                -- active, preserved
    user.preserved_by,          -- idp, admin
    user.preserved_at,
    CASE WHEN user.legal_hold = 0
        THEN strftime('%Y-%m-%dT%H:%M:%fZ', user.preserved_at, '+' || profile.delete_after_days || ' days')
    END AS delete_due,
    profile.name AS profile,
    storage.name AS storage,
    coalesce(user.quota_gb, profile.quota_gb, 0) AS quota_gb,  -- in force; 0 is unlimited
    user.managed_by,            -- idp, manual
    user.scim_visible,
    user.legal_hold,
    user.external_id,
    user.created,
    user.modified
FROM user
JOIN profile ON profile.id = user.profile
JOIN storage ON storage.id = user.storage;
