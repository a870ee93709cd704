-- How a cluster decides beyond its policy, what nodes are called by, and what a deployment waits
-- for besides room.
ALTER TABLE clusters ADD COLUMN placement TEXT NOT NULL DEFAULT 'best_fit';
ALTER TABLE clusters ADD COLUMN age_bound INTEGER;  -- milliseconds
ALTER TABLE clusters ADD COLUMN mix TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN labels TEXT NOT NULL DEFAULT '';

ALTER TABLE deployments ADD COLUMN queued_at INTEGER NOT NULL DEFAULT 0;  -- waits since then
ALTER TABLE deployments ADD COLUMN max_run INTEGER NOT NULL DEFAULT 0;  -- milliseconds, with grace
ALTER TABLE deployments ADD COLUMN needs TEXT NOT NULL DEFAULT '';  -- of a node, beside amounts
ALTER TABLE deployments ADD COLUMN displaced_for BLOB;
ALTER TABLE deployments ADD COLUMN unmet INTEGER NOT NULL DEFAULT 0 CHECK (unmet >= 0);
ALTER TABLE deployments ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
UPDATE deployments SET queued_at = created_at;

-- `deployment_id` may not start before `on_id` has come as far as `until` says; then the row goes.
CREATE TABLE dependencies (
  deployment_id BLOB NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  on_id BLOB NOT NULL,
  until TEXT NOT NULL CHECK (until IN ('running', 'succeeded')),
  PRIMARY KEY (deployment_id, on_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_on ON dependencies (on_id);
