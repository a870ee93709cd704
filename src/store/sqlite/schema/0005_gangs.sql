-- Several replicas that start together or not at all: each has a reservation of its own. `gang` is
-- JSON: the places of the replicas after the first, and how each of them is.
ALTER TABLE deployments ADD COLUMN replicas INTEGER NOT NULL DEFAULT 1 CHECK (replicas >= 1);
ALTER TABLE deployments ADD COLUMN gang TEXT;

CREATE TABLE reservations_by_replica (
  deployment_id BLOB NOT NULL,
  attempt INTEGER NOT NULL,
  replica INTEGER NOT NULL CHECK (replica >= 0),
  cluster_id BLOB NOT NULL,
  node TEXT NOT NULL,
  cpu INTEGER NOT NULL,
  memory INTEGER NOT NULL,
  gpu_grant TEXT NOT NULL,
  PRIMARY KEY (deployment_id, attempt, replica)
) STRICT, WITHOUT ROWID;
INSERT INTO reservations_by_replica
  (deployment_id, attempt, replica, cluster_id, node, cpu, memory, gpu_grant)
  SELECT deployment_id, attempt, 0, cluster_id, node, cpu, memory, gpu_grant FROM reservations;
DROP TABLE reservations;
ALTER TABLE reservations_by_replica RENAME TO reservations;
CREATE UNIQUE INDEX reservations_one ON reservations (deployment_id, replica);
