-- How a cluster decides beyond its policy, what nodes are called by, and what a deployment waits
-- for besides room.
ALTER TABLE clusters ADD COLUMN placement text NOT NULL DEFAULT 'best_fit';
ALTER TABLE clusters ADD COLUMN age_bound bigint;  -- milliseconds
ALTER TABLE clusters ADD COLUMN mix text NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN labels text NOT NULL DEFAULT '';

ALTER TABLE deployments ADD COLUMN queued_at bigint NOT NULL DEFAULT 0;  -- waits since then
ALTER TABLE deployments ADD COLUMN max_run bigint NOT NULL DEFAULT 0;  -- milliseconds, with grace
ALTER TABLE deployments ADD COLUMN needs text NOT NULL DEFAULT '';  -- of a node, beside amounts
ALTER TABLE deployments ADD COLUMN displaced_for bytea CHECK (octet_length(displaced_for) = 16);
ALTER TABLE deployments ADD COLUMN unmet bigint NOT NULL DEFAULT 0 CHECK (unmet >= 0);
ALTER TABLE deployments ADD COLUMN awaited boolean NOT NULL DEFAULT false;
UPDATE deployments SET queued_at = created_at;

-- `deployment_id` may not start before `on_id` has come as far as `until` says; then the row goes.
CREATE TABLE dependencies (
  deployment_id bytea NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  on_id bytea NOT NULL CHECK (octet_length(on_id) = 16),
  until text NOT NULL CHECK (until IN ('running', 'succeeded')),
  PRIMARY KEY (deployment_id, on_id)
);
CREATE INDEX dependencies_on ON dependencies (on_id);
