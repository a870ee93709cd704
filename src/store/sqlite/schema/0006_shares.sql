-- With which organizations a cluster is shared, and how much each may hold there. A row stays when
-- the sharing ends, so that its number is nobody else's; it goes with the cluster.
CREATE TABLE cluster_shares (
  cluster_id BLOB NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
  org_id BLOB NOT NULL REFERENCES organizations (id),
  tenant INTEGER NOT NULL CHECK (tenant >= 0),
  shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
  -- The quota, and how much may be borrowed beyond it. NULL: there is none; the largest number: not
  -- limited.
  cpu INTEGER CHECK (cpu >= 0),
  memory INTEGER CHECK (memory >= 0),
  gpu INTEGER CHECK (gpu >= 0),
  borrow_cpu INTEGER CHECK (borrow_cpu >= 0),
  borrow_memory INTEGER CHECK (borrow_memory >= 0),
  borrow_gpu INTEGER CHECK (borrow_gpu >= 0),
  PRIMARY KEY (cluster_id, org_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX cluster_shares_tenant ON cluster_shares (cluster_id, tenant);
CREATE INDEX cluster_shares_org ON cluster_shares (org_id, cluster_id) WHERE shared;

-- Whose turn it is among organizations in one queue: who holds the smallest part.
ALTER TABLE clusters ADD COLUMN fair INTEGER NOT NULL DEFAULT 0;
