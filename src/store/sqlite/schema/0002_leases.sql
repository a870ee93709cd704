-- Schedulers, and which of them decides about which cluster. Deadlines are on the database's clock.
CREATE TABLE schedulers (
  id TEXT PRIMARY KEY,
  address TEXT NOT NULL,
  deadline INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
  cluster_id BLOB PRIMARY KEY REFERENCES clusters (id) ON DELETE CASCADE,
  holder TEXT,
  epoch INTEGER NOT NULL CHECK (epoch >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO leases (cluster_id, epoch) SELECT id, 0 FROM clusters;

CREATE TRIGGER leases_epoch_grows BEFORE UPDATE ON leases WHEN new.epoch < old.epoch
BEGIN
  SELECT raise(ABORT, 'a lease''s epoch never shrinks');
END;
CREATE TRIGGER leases_of_new_clusters AFTER INSERT ON clusters
BEGIN
  INSERT INTO leases (cluster_id, epoch) VALUES (new.id, 0);
END;

-- One row: what the whole installation shares.
CREATE TABLE installation (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  secret TEXT NOT NULL,
  relayed INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO installation (one, secret) VALUES (1, lower(hex(randomblob(32))));
