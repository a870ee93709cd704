#!/usr/bin/python3
"""The checker of the ledger is right: it reads a real database, has nothing to say about a sound one, and
objects to each kind of damage."""

import copy
import pathlib
import tempfile
import unittest

from ledger_check import id_hex, objections, snapshot
from scaled_harness import Database

SCHEMA = pathlib.Path(__file__).resolve().parent.parent.parent / "src" / "store" / "postgres" / "schema"
ORG, CLUSTER, ONE, TWO, THREE, PAIR = (f"{n:032x}" for n in (1, 2, 3, 4, 5, 6))

# Two nodes. `one` runs on half a device after a failed attempt, `two` waits, `three` has ended, `pair` runs twice.
WORLD = f"""
INSERT INTO organizations VALUES ('\\x{ORG}', 'lab', 0, 1);
INSERT INTO clusters (id, org_id, name, runtime, policy, created_at, version) VALUES ('\\x{CLUSTER}', '\\x{ORG}', 'c', 'simulated', 'strict', 0, 1);
INSERT INTO nodes (cluster_id, name, ordinal, cpu, memory, gpus, free_cpu, free_memory) VALUES
  ('\\x{CLUSTER}', 'a', 0, 4000, 100, 2, 3000, 90), ('\\x{CLUSTER}', 'b', 1, 4000, 100, 0, 3800, 100);
INSERT INTO gpus VALUES ('\\x{CLUSTER}', 'a', 0, 500), ('\\x{CLUSTER}', 'a', 1, 1000);
INSERT INTO deployments (id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec, attempt, node, gpu_grant, created_by,
                         created_at, updated_at, version) VALUES
  ('\\x{ONE}', '\\x{ORG}', '\\x{CLUSTER}', 'one', 'high', 'running', 1, 1000, 10, 500, '', 2, 'a', '0:500', '\\x{ORG}', 0, 0, 1),
  ('\\x{TWO}', '\\x{ORG}', '\\x{CLUSTER}', 'two', 'low', 'queued', 2, 4000, 10, 0, '', 0, NULL, NULL, '\\x{ORG}', 0, 0, 1),
  ('\\x{THREE}', '\\x{ORG}', '\\x{CLUSTER}', 'three', 'low', 'succeeded', 3, 4000, 10, 0, '', 1, 'b', NULL, '\\x{ORG}', 0, 0, 1);
INSERT INTO deployments (id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec, replicas, attempt, node, created_by,
                         created_at, updated_at, version) VALUES
  ('\\x{PAIR}', '\\x{ORG}', '\\x{CLUSTER}', 'pair', 'low', 'running', 4, 100, 0, 0, '', 2, 1, 'b', '\\x{ORG}', 0, 0, 1);
INSERT INTO reservations (deployment_id, attempt, replica, cluster_id, node, cpu, memory, gpu_grant) VALUES
  ('\\x{ONE}', 2, 0, '\\x{CLUSTER}', 'a', 1000, 10, '0:500'),
  ('\\x{PAIR}', 1, 0, '\\x{CLUSTER}', 'b', 100, 0, ''), ('\\x{PAIR}', 1, 1, '\\x{CLUSTER}', 'b', 100, 0, '');
"""
HISTORY = [("user.registered", None, "{}"), ("deployment.queued", ONE, "{}"),
           ("deployment.starting", ONE, '{"attempt":1,"node":"a","gpus":[{"device":0,"share":0.5}]}'), ("deployment.queued", ONE, "{}"),
           ("deployment.retrying", ONE, "{}"),
           ("deployment.starting", ONE, '{"attempt":2,"node":"a","gpus":[{"device":0,"share":0.5}]}'), ("deployment.running", ONE, "{}"),
           ("deployment.queued", TWO, "{}"), ("deployment.priority_changed", TWO, "{}"), ("deployment.queued", THREE, "{}"),
           ("deployment.starting", THREE, '{"attempt":1,"node":"b"}'), ("deployment.succeeded", THREE, "{}"),
           ("deployment.queued", PAIR, "{}"), ("deployment.starting", PAIR, '{"attempt":1,"node":"b","more":[{"node":"b"}]}'),
           ("deployment.running", PAIR, "{}")]


class LedgerCheck(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="berth-test-")
        cls.addClassCleanup(folder.cleanup)
        pathlib.Path(folder.name).chmod(0o711)
        database = Database(folder.name)
        cls.addClassCleanup(database.close)
        database.start()
        for path in sorted(SCHEMA.glob("*.sql")):
            database.query(path.read_text())
        database.query(WORLD)
        for seq, (kind, one, data) in enumerate(HISTORY, 1):
            whose = f"'\\x{one}'" if one else "NULL"
            database.query(f"INSERT INTO events VALUES ({seq}, 0, NULL, NULL, {whose}, '{kind}', '', '', '', '{data}')",
                           f"UPDATE event_counter SET value = {seq}")
        cls.world = snapshot(database)

    def objected(self, change, *rules):
        world = copy.deepcopy(self.world)
        change(world)
        said = objections(world)
        self.assertEqual({text.partition(":")[0] for text in said}, set(rules), said)

    def deployment(self, world, name):
        return next(d for d in world["deployments"] if d["name"] == name)

    def test_what_was_read(self):
        self.assertEqual(objections(self.world), [])
        self.assertEqual((len(self.world["events"]), self.world["counter"]), (15, [{"value": 15}]))
        self.assertEqual(self.world["gpus"][0], {"cluster_id": CLUSTER, "node": "a", "device": 0, "free": 500})
        self.assertEqual(self.world["events"][5]["data"], {"attempt": 2, "node": "a", "gpus": [{"device": 0, "share": 0.5}]})

    def test_ids_as_the_api_writes_them(self):
        self.assertEqual(id_hex("dep_0000000000000000000000000z"), "0000000000000000000000000000001f")
        self.assertEqual(id_hex("clu_01m8cbv3sqexpa9k78x12b3637"), "01a218bd8f37776ca4cce8e844b19867")

    def test_sums(self):
        self.objected(lambda w: w["nodes"][0].update(free_cpu=2999), "sums")
        self.objected(lambda w: w["nodes"][1].update(free_memory=101), "sums")
        self.objected(lambda w: w["gpus"][1].update(free=999), "sums")
        self.objected(lambda w: w["nodes"].pop(1), "sums", "replay")
        self.objected(lambda w: w["gpus"].pop(0), "sums")
        self.objected(lambda w: w["nodes"].pop(0), "sums", "replay")

    def test_over_commitment(self):
        def second_on_the_device(w):
            w["reservations"].append(dict(w["reservations"][0], deployment_id=TWO, gpu_grant="0:1000"))
            self.deployment(w, "two").update(state="running")

        self.objected(second_on_the_device, "sums", "pairs", "histories")
        self.objected(lambda w: w["nodes"][1].update(cpu=3999, free_cpu=3799), "replay")
        self.objected(lambda w: self.deployment(w, "three").update(cpu=4001), "replay")

        def for_an_instant(w):  # `three` starts where `one` still runs, and goes at once
            w["events"][10]["data"]["node"] = "a"

        self.objected(for_an_instant, "replay")

        def one_device_twice(w):
            w["events"][10]["data"].update(node="a", gpus=[{"device": 0, "share": 1}])
            w["nodes"][0].update(cpu=5000, free_cpu=4000)  # so that only the device is too small
            self.deployment(w, "three").update(gpu=1000)

        self.objected(one_device_twice, "replay")

    def test_pairs(self):
        self.objected(lambda w: w["reservations"].clear(), "sums", "pairs")
        self.objected(lambda w: w["reservations"][0].update(attempt=1), "pairs")
        self.objected(lambda w: w["reservations"].append(dict(w["reservations"][0], deployment_id=THREE, cpu=0, memory=0, gpu_grant="")), "pairs")
        self.objected(lambda w: w["reservations"].append(dict(w["reservations"][0], deployment_id=ORG, cpu=0, memory=0, gpu_grant="")), "pairs")

    def test_replicas(self):
        def one_less(w):
            w["reservations"].pop()
            w["nodes"][1].update(free_cpu=3900)

        self.objected(one_less, "pairs")
        self.objected(lambda w: w["reservations"][-1].update(replica=2), "pairs")
        self.objected(lambda w: w["events"][13]["data"].update(more=[]), "replay")
        self.objected(lambda w: w["events"][13]["data"].update(more=[{"node": "c"}]), "replay")

    def test_numbering(self):
        self.objected(lambda w: w["events"].pop(4), "numbering")
        self.objected(lambda w: w["counter"][0].update(value=16), "numbering")

    def test_histories(self):
        self.objected(lambda w: w["events"][6].update(kind="deployment.stopped"), "histories")
        self.objected(lambda w: w["events"][5]["data"].update(attempt=1), "histories")
        self.objected(lambda w: self.deployment(w, "two").update(state="cancelled"), "histories")
        self.objected(lambda w: self.deployment(w, "one").update(attempt=3), "pairs", "histories")

        def started_twice(w):
            w["events"][4].update(kind="deployment.starting", data=w["events"][5]["data"])

        self.objected(started_twice, "histories", "replay")


if __name__ == "__main__":
    unittest.main(verbosity=2)
