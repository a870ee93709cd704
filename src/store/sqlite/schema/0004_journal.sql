-- What each cluster's engine was given and what it decided: one row for each transaction that did
-- something with it. src/scheduler/journal.h knows what the payload means.
CREATE TABLE journal (
  cluster_id BLOB NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
  idx INTEGER NOT NULL CHECK (idx >= 1),
  at INTEGER NOT NULL,
  checkpoint INTEGER NOT NULL CHECK (checkpoint IN (0, 1)),
  payload BLOB NOT NULL,
  PRIMARY KEY (cluster_id, idx)
) STRICT;
CREATE INDEX journal_checkpoints ON journal (cluster_id, idx) WHERE checkpoint;
