-- Several replicas that start together or not at all: each has a reservation of its own. `gang` is
-- JSON: the places of the replicas after the first, and how each of them is.
ALTER TABLE deployments ADD COLUMN replicas bigint NOT NULL DEFAULT 1 CHECK (replicas >= 1);
ALTER TABLE deployments ADD COLUMN gang text;

ALTER TABLE reservations ADD COLUMN replica bigint NOT NULL DEFAULT 0 CHECK (replica >= 0);
ALTER TABLE reservations ALTER COLUMN replica DROP DEFAULT;
ALTER TABLE reservations DROP CONSTRAINT reservations_pkey;
ALTER TABLE reservations ADD PRIMARY KEY (deployment_id, attempt, replica);
DROP INDEX reservations_one;
CREATE UNIQUE INDEX reservations_one ON reservations (deployment_id, replica);
