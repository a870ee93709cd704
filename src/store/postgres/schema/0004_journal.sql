-- What each cluster's engine was given and what it decided: one row for each transaction that did
-- something with it. src/scheduler/journal.h knows what the payload means.
CREATE TABLE journal (
  cluster_id bytea NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
  idx bigint NOT NULL CHECK (idx >= 1),
  at bigint NOT NULL,
  checkpoint boolean NOT NULL,
  payload bytea NOT NULL,
  PRIMARY KEY (cluster_id, idx)
);
CREATE INDEX journal_checkpoints ON journal (cluster_id, idx) WHERE checkpoint;
