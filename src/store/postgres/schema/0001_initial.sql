-- Ids are 16 bytes (UUIDv7), digests 32. Times are microseconds since the Unix epoch, UTC.
-- CPU is in millicores, memory in bytes, GPU in thousandths of a device.
-- Texts that are sorted by or are part of a key compare byte by byte, on every machine alike.

CREATE TABLE users (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  username text NOT NULL,
  email text NOT NULL,
  password_hash text NOT NULL,
  is_admin boolean NOT NULL DEFAULT false,
  disabled boolean NOT NULL DEFAULT false,
  created_at bigint NOT NULL,
  version bigint NOT NULL
);
CREATE UNIQUE INDEX users_username ON users (lower(username COLLATE "C"));
CREATE UNIQUE INDEX users_email ON users (lower(email COLLATE "C"));

CREATE TABLE sessions (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  user_id bytea NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  access bytea NOT NULL CHECK (octet_length(access) = 32),
  access_expires_at bigint NOT NULL,
  refresh bytea NOT NULL CHECK (octet_length(refresh) = 32),
  refresh_expires_at bigint NOT NULL,
  created_at bigint NOT NULL
);
CREATE UNIQUE INDEX sessions_access ON sessions (access);
CREATE UNIQUE INDEX sessions_refresh ON sessions (refresh);
CREATE INDEX sessions_user ON sessions (user_id);

-- Refresh tokens that were exchanged: seeing one again means theft, however old it is.
CREATE TABLE spent_refresh (
  token bytea PRIMARY KEY CHECK (octet_length(token) = 32),
  session_id bytea NOT NULL REFERENCES sessions (id) ON DELETE CASCADE
);
CREATE INDEX spent_refresh_session ON spent_refresh (session_id);

CREATE TABLE api_keys (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  user_id bytea NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name text NOT NULL,
  prefix text NOT NULL,
  secret bytea NOT NULL UNIQUE CHECK (octet_length(secret) = 32),
  created_at bigint NOT NULL,
  expires_at bigint
);
CREATE INDEX api_keys_user ON api_keys (user_id);

CREATE TABLE setup_token (
  one bigint PRIMARY KEY CHECK (one = 1),
  token bytea NOT NULL CHECK (octet_length(token) = 32),
  expires_at bigint NOT NULL
);

CREATE TABLE organizations (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  name text NOT NULL,
  created_at bigint NOT NULL,
  version bigint NOT NULL
);
CREATE UNIQUE INDEX organizations_name ON organizations (lower(name COLLATE "C"));

CREATE TABLE members (
  org_id bytea NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  user_id bytea NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  role text NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
  joined_at bigint NOT NULL,
  version bigint NOT NULL,
  PRIMARY KEY (org_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

CREATE TABLE invites (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  org_id bytea NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  code bytea NOT NULL UNIQUE CHECK (octet_length(code) = 32),
  prefix text NOT NULL,
  role text NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
  created_at bigint NOT NULL,
  created_by bytea NOT NULL,
  expires_at bigint NOT NULL,
  max_uses bigint NOT NULL CHECK (max_uses >= 1),
  uses bigint NOT NULL DEFAULT 0 CHECK (uses >= 0 AND uses <= max_uses),
  revoked_at bigint
);
CREATE INDEX invites_org ON invites (org_id, id);

-- Rows that are updated all the time leave room on their page, so that an update touches no index.
CREATE TABLE clusters (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  org_id bytea NOT NULL REFERENCES organizations (id),
  name text NOT NULL,
  runtime text NOT NULL,
  speed double precision NOT NULL DEFAULT 1,
  policy text NOT NULL,
  paused boolean NOT NULL DEFAULT false,
  next_order bigint NOT NULL DEFAULT 1,
  created_at bigint NOT NULL,
  version bigint NOT NULL
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX clusters_name ON clusters (org_id, lower(name COLLATE "C"));

-- The ledger: what a node has and what of it is free. The checks make over-commitment impossible
-- even for a scheduler with a bug.
CREATE TABLE nodes (
  cluster_id bytea NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
  name text COLLATE "C" NOT NULL,
  ordinal bigint NOT NULL,
  gpu_model text NOT NULL DEFAULT '',
  cpu bigint NOT NULL,
  memory bigint NOT NULL,
  gpus bigint NOT NULL,
  free_cpu bigint NOT NULL CHECK (free_cpu BETWEEN 0 AND cpu),
  free_memory bigint NOT NULL CHECK (free_memory BETWEEN 0 AND memory),
  PRIMARY KEY (cluster_id, name)
) WITH (fillfactor = 50);

CREATE TABLE gpus (
  cluster_id bytea NOT NULL,
  node text COLLATE "C" NOT NULL,
  device bigint NOT NULL,
  free bigint NOT NULL CHECK (free BETWEEN 0 AND 1000),
  PRIMARY KEY (cluster_id, node, device),
  FOREIGN KEY (cluster_id, node) REFERENCES nodes (cluster_id, name) ON DELETE CASCADE
) WITH (fillfactor = 50);

CREATE TABLE deployments (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
  org_id bytea NOT NULL CHECK (octet_length(org_id) = 16),
  cluster_id bytea NOT NULL CHECK (octet_length(cluster_id) = 16),
  name text NOT NULL,
  priority text NOT NULL CHECK (priority IN ('high', 'low')),
  state text NOT NULL CHECK (state IN ('queued', 'starting', 'running', 'stopping', 'preempting',
                                       'stopped', 'succeeded', 'failed', 'cancelled')),
  ord bigint NOT NULL,
  cpu bigint NOT NULL CHECK (cpu >= 0),
  memory bigint NOT NULL CHECK (memory >= 0),
  gpu bigint NOT NULL CHECK (gpu >= 0),
  spec text NOT NULL,
  attempt bigint NOT NULL DEFAULT 0,
  failures bigint NOT NULL DEFAULT 0,
  retry_at bigint,
  node text,
  gpu_grant text,
  endpoint text NOT NULL DEFAULT '',
  exit_code bigint,
  message text NOT NULL DEFAULT '',
  created_by bytea NOT NULL CHECK (octet_length(created_by) = 16),
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  admitted_at bigint,
  started_at bigint,
  ended_at bigint,
  version bigint NOT NULL
);
CREATE INDEX deployments_org ON deployments (org_id, id);
CREATE INDEX deployments_cluster ON deployments (cluster_id, id);
CREATE UNIQUE INDEX deployments_name ON deployments (org_id, name)
  WHERE state IN ('queued', 'starting', 'running', 'stopping', 'preempting');
CREATE INDEX deployments_queue ON deployments (cluster_id, ord)
  WHERE state = 'queued';
CREATE INDEX deployments_active ON deployments (cluster_id)
  WHERE state IN ('starting', 'running', 'stopping', 'preempting');

CREATE TABLE reservations (
  deployment_id bytea NOT NULL CHECK (octet_length(deployment_id) = 16),
  attempt bigint NOT NULL,
  cluster_id bytea NOT NULL CHECK (octet_length(cluster_id) = 16),
  node text NOT NULL,
  cpu bigint NOT NULL,
  memory bigint NOT NULL,
  gpu_grant text NOT NULL,
  PRIMARY KEY (deployment_id, attempt)
);
CREATE UNIQUE INDEX reservations_one ON reservations (deployment_id);

-- Sequence numbers come from one row, which a transaction locks as its last act: there are no gaps,
-- and whoever sees an event sees all before it.
CREATE TABLE event_counter (
  one bigint PRIMARY KEY CHECK (one = 1),
  value bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO event_counter (one, value) VALUES (1, 0);

CREATE TABLE events (
  seq bigint PRIMARY KEY,
  at bigint NOT NULL,
  org_id bytea,
  cluster_id bytea,
  deployment_id bytea,
  kind text NOT NULL,
  actor text NOT NULL,
  actor_name text NOT NULL,
  request_id text NOT NULL,
  data text NOT NULL
);
CREATE INDEX events_org ON events (org_id, seq);
CREATE INDEX events_deployment ON events (deployment_id, seq) WHERE deployment_id IS NOT NULL;

CREATE TABLE replies (
  scope text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
  status bigint NOT NULL,
  body text NOT NULL,
  location text NOT NULL,
  etag text NOT NULL,
  created_at bigint NOT NULL,
  PRIMARY KEY (scope, key)
);
CREATE INDEX replies_age ON replies (created_at);

-- Schedulers, and which of them decides about which cluster. Deadlines are on this database's clock.
CREATE TABLE schedulers (
  id text COLLATE "C" PRIMARY KEY,
  address text NOT NULL,
  deadline bigint NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE leases (
  cluster_id bytea PRIMARY KEY REFERENCES clusters (id) ON DELETE CASCADE,
  holder text,
  epoch bigint NOT NULL CHECK (epoch >= 0)
) WITH (fillfactor = 50);

CREATE FUNCTION leases_epoch_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF new.epoch < old.epoch THEN
    RAISE EXCEPTION 'a lease''s epoch never shrinks' USING ERRCODE = 'check_violation';
  END IF;
  RETURN new;
END $$;
CREATE TRIGGER leases_epoch_grows BEFORE UPDATE ON leases
  FOR EACH ROW EXECUTE FUNCTION leases_epoch_grows();

CREATE FUNCTION leases_of_new_clusters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO leases (cluster_id, epoch) VALUES (new.id, 0);
  RETURN new;
END $$;
CREATE TRIGGER leases_of_new_clusters AFTER INSERT ON clusters
  FOR EACH ROW EXECUTE FUNCTION leases_of_new_clusters();

-- One row: what the whole installation shares.
CREATE TABLE installation (
  one bigint PRIMARY KEY CHECK (one = 1),
  secret text NOT NULL,
  relayed bigint NOT NULL DEFAULT 0
);
INSERT INTO installation (one, secret)
  VALUES (1, replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));
