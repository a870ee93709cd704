-- With which organizations a cluster is shared, and how much each may hold there. A row stays when
-- the sharing ends, so that its number is nobody else's; it goes with the cluster.
CREATE TABLE cluster_shares (
  cluster_id bytea NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
  org_id bytea NOT NULL REFERENCES organizations (id),
  tenant bigint NOT NULL CHECK (tenant >= 0),
  shared boolean NOT NULL,
  -- The quota, and how much may be borrowed beyond it. NULL: there is none; the largest number: not
  -- limited.
  cpu bigint CHECK (cpu >= 0),
  memory bigint CHECK (memory >= 0),
  gpu bigint CHECK (gpu >= 0),
  borrow_cpu bigint CHECK (borrow_cpu >= 0),
  borrow_memory bigint CHECK (borrow_memory >= 0),
  borrow_gpu bigint CHECK (borrow_gpu >= 0),
  PRIMARY KEY (cluster_id, org_id)
);
CREATE UNIQUE INDEX cluster_shares_tenant ON cluster_shares (cluster_id, tenant);
CREATE INDEX cluster_shares_org ON cluster_shares (org_id, cluster_id) WHERE shared;

-- Whose turn it is among organizations in one queue: who holds the smallest part.
ALTER TABLE clusters ADD COLUMN fair boolean NOT NULL DEFAULT false;
