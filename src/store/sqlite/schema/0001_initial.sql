-- Ids are 16 bytes (UUIDv7). Times are microseconds since the Unix epoch, UTC.
-- CPU is in millicores, memory in bytes, GPU in thousandths of a device.

CREATE TABLE users (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  username TEXT NOT NULL COLLATE NOCASE,
  email TEXT NOT NULL COLLATE NOCASE,
  password_hash TEXT NOT NULL,
  is_admin INTEGER NOT NULL DEFAULT 0,
  disabled INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX users_username ON users (username);
CREATE UNIQUE INDEX users_email ON users (email);

CREATE TABLE sessions (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  access BLOB NOT NULL,
  access_expires_at INTEGER NOT NULL,
  refresh BLOB NOT NULL,
  refresh_expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sessions_access ON sessions (access);
CREATE UNIQUE INDEX sessions_refresh ON sessions (refresh);
CREATE INDEX sessions_user ON sessions (user_id);

-- Refresh tokens that were exchanged: seeing one again means theft, however old it is.
CREATE TABLE spent_refresh (
  token BLOB PRIMARY KEY,
  session_id BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_refresh_session ON spent_refresh (session_id);

CREATE TABLE api_keys (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  prefix TEXT NOT NULL,
  secret BLOB NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_user ON api_keys (user_id);

CREATE TABLE setup_token (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  token BLOB NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE organizations (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  name TEXT NOT NULL COLLATE NOCASE UNIQUE,
  created_at INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
  org_id BLOB NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
  joined_at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (org_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_user ON members (user_id);

CREATE TABLE invites (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  org_id BLOB NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  code BLOB NOT NULL UNIQUE,
  prefix TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
  created_at INTEGER NOT NULL,
  created_by BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  max_uses INTEGER NOT NULL CHECK (max_uses >= 1),
  uses INTEGER NOT NULL DEFAULT 0 CHECK (uses >= 0 AND uses <= max_uses),
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX invites_org ON invites (org_id, id);

CREATE TABLE clusters (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  org_id BLOB NOT NULL REFERENCES organizations (id),
  name TEXT NOT NULL COLLATE NOCASE,
  runtime TEXT NOT NULL,
  speed REAL NOT NULL DEFAULT 1,
  policy TEXT NOT NULL,
  paused INTEGER NOT NULL DEFAULT 0,
  next_order INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  UNIQUE (org_id, name)
) STRICT, WITHOUT ROWID;

-- The ledger: what a node has and what of it is free. The checks make over-commitment impossible
-- even for a scheduler with a bug.
CREATE TABLE nodes (
  cluster_id BLOB NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  gpu_model TEXT NOT NULL DEFAULT '',
  cpu INTEGER NOT NULL,
  memory INTEGER NOT NULL,
  gpus INTEGER NOT NULL,
  free_cpu INTEGER NOT NULL CHECK (free_cpu BETWEEN 0 AND cpu),
  free_memory INTEGER NOT NULL CHECK (free_memory BETWEEN 0 AND memory),
  PRIMARY KEY (cluster_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE gpus (
  cluster_id BLOB NOT NULL,
  node TEXT NOT NULL,
  device INTEGER NOT NULL,
  free INTEGER NOT NULL CHECK (free BETWEEN 0 AND 1000),
  PRIMARY KEY (cluster_id, node, device),
  FOREIGN KEY (cluster_id, node) REFERENCES nodes (cluster_id, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE deployments (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  org_id BLOB NOT NULL,
  cluster_id BLOB NOT NULL,
  name TEXT NOT NULL,
  priority TEXT NOT NULL CHECK (priority IN ('high', 'low')),
  state TEXT NOT NULL CHECK (state IN ('queued', 'starting', 'running', 'stopping', 'preempting',
                                       'stopped', 'succeeded', 'failed', 'cancelled')),
  ord INTEGER NOT NULL,
  cpu INTEGER NOT NULL CHECK (cpu >= 0),
  memory INTEGER NOT NULL CHECK (memory >= 0),
  gpu INTEGER NOT NULL CHECK (gpu >= 0),
  spec TEXT NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  retry_at INTEGER,
  node TEXT,
  gpu_grant TEXT,
  endpoint TEXT NOT NULL DEFAULT '',
  exit_code INTEGER,
  message TEXT NOT NULL DEFAULT '',
  created_by BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  admitted_at INTEGER,
  started_at INTEGER,
  ended_at INTEGER,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deployments_org ON deployments (org_id, id);
CREATE INDEX deployments_cluster ON deployments (cluster_id, id);
CREATE UNIQUE INDEX deployments_name ON deployments (org_id, name)
  WHERE state IN ('queued', 'starting', 'running', 'stopping', 'preempting');
CREATE INDEX deployments_queue ON deployments (cluster_id, ord)
  WHERE state = 'queued';
CREATE INDEX deployments_active ON deployments (cluster_id)
  WHERE state IN ('starting', 'running', 'stopping', 'preempting');

CREATE TABLE reservations (
  deployment_id BLOB NOT NULL,
  attempt INTEGER NOT NULL,
  cluster_id BLOB NOT NULL,
  node TEXT NOT NULL,
  cpu INTEGER NOT NULL,
  memory INTEGER NOT NULL,
  gpu_grant TEXT NOT NULL,
  PRIMARY KEY (deployment_id, attempt)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX reservations_one ON reservations (deployment_id);

CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  org_id BLOB,
  cluster_id BLOB,
  deployment_id BLOB,
  kind TEXT NOT NULL,
  actor TEXT NOT NULL,
  actor_name TEXT NOT NULL,
  request_id TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT;
CREATE INDEX events_org ON events (org_id, seq);
CREATE INDEX events_deployment ON events (deployment_id, seq) WHERE deployment_id IS NOT NULL;

CREATE TABLE replies (
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  status INTEGER NOT NULL,
  body TEXT NOT NULL,
  location TEXT NOT NULL,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX replies_age ON replies (created_at);
