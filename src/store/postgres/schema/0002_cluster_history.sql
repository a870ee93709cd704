-- What happened to one cluster since a given event: asked before each decision about it.
CREATE INDEX events_cluster ON events (cluster_id, seq) WHERE cluster_id IS NOT NULL;
