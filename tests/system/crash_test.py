#!/usr/bin/python3
"""kill -9 of the server under load, again and again: every acknowledged write is there afterwards,
nothing has started twice, nothing is over-committed, nothing is left behind.

CYCLES (50) and SEED in the environment; the seed is printed. A run with too little traffic fails.
"""

import os
import random
import subprocess
import threading
import time

from harness import SystemTest, main, wait_until
from ledger_check import STATES, TRANSITIONS

CYCLES = int(os.environ.get("CYCLES", "50"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 32))))
WRITERS = 8


class Writer(threading.Thread):
    """Submits, stops and re-prioritizes until the server dies; remembers what was acknowledged."""

    def __init__(self, client, clusters, prefix, seed):
        super().__init__()
        self.client, self.clusters, self.prefix = client, clusters, prefix
        self.random = random.Random(seed)
        self.acknowledged = {}  # id -> (name, least state that must hold)
        self.writes = 0

    def run(self):
        try:
            number = 0
            while True:
                number += 1
                body = {"cluster_id": self.random.choice(self.clusters), "name": f"{self.prefix}-{number}", "kind": "job",
                        "priority": self.random.choice(["high", "low"]),
                        "resources": {"cpu": self.random.choice([1, 2]), "memory": "1MiB", "gpu": self.random.choice([0, 0.5, 1])},
                        "replicas": self.random.choice([1] * 9 + [2, 3]),
                        "simulate": {"duration": self.random.choice(["5ms", "50ms", "1h"])}}
                status, answer = self.client.call("POST", "/api/v1/deployments", body)
                assert status == 201, answer
                self.acknowledged[answer["id"]] = "submitted"
                self.writes += 1
                if self.random.random() < 0.5:
                    victim = self.random.choice(list(self.acknowledged))
                    status, answer = self.client.call("POST", f"/api/v1/deployments/{victim}/stop")
                    assert status == 200, answer
                    self.acknowledged[victim] = "stop asked"
                    self.writes += 1
        except OSError:
            pass  # the server is gone


class CrashTest(SystemTest):
    def check(self, client, clusters, acknowledged):
        found = {}
        for cluster in clusters:
            for d in client.pages(f"/api/v1/deployments?cluster_id={cluster}"):
                self.assertNotIn(d["id"], found, "listed twice")
                found[d["id"]] = d
        for identifier, least in acknowledged.items():
            self.assertIn(identifier, found, "an acknowledged submission is gone")
            if least == "stop asked":
                self.assertIn(found[identifier]["state"], ("stopping", "stopped", "cancelled", "succeeded", "failed"),
                              "an acknowledged stop is gone")
        status, metrics = client.call("GET", "/metrics")
        drift = [line for line in metrics.decode().splitlines() if line.startswith("berth_accounting_drift")]
        self.assertTrue(drift and all(float(line.split()[-1]) == 0 for line in drift), drift)
        return found

    def test_simulated_runtime_under_load(self):
        print(f"seed={SEED} cycles={CYCLES}", flush=True)
        rng = random.Random(SEED)
        server = self.server()
        server.start()
        root = server.set_up()
        clusters = [root.cluster(f"c{i}", resources={"cpu": 8, "memory": "64GiB", "gpu": 4}) for i in range(3)]
        acknowledged, writes, killed_in_flight = {}, 0, 0
        for cycle in range(CYCLES):
            writers = [Writer(root.clone(server), clusters, f"k{cycle}-{i}", rng.randrange(1 << 32)) for i in range(WRITERS)]
            for writer in writers:
                writer.start()
            time.sleep(rng.uniform(0.02, 0.4))
            server.kill()
            for writer in writers:
                writer.join(30)
                self.assertFalse(writer.is_alive())
                acknowledged.update(writer.acknowledged)
                writes += writer.writes
            killed_in_flight += any(w.writes for w in writers)
            began = time.monotonic()
            server.start()
            self.assertLess(time.monotonic() - began, 10, "recovery took too long")
            root.connection = None
            # What may run long is stopped, so that the next round finds room.
            if cycle % 10 == 9:
                self.check(root, clusters, acknowledged)
                for d in root.pages("/api/v1/deployments?state=running"):
                    root.must("POST", f"/api/v1/deployments/{d['id']}/stop")
        self.check(root, clusters, acknowledged)
        self.assertGreaterEqual(writes, CYCLES * 20, "too little traffic to mean anything")
        self.assertGreaterEqual(killed_in_flight, CYCLES * 0.8, "most kills hit an idle server")
        for d in list(root.pages("/api/v1/deployments")):
            if d["state"] in ("queued", "starting", "running"):
                root.must("POST", f"/api/v1/deployments/{d['id']}/stop")
        wait_until(lambda: all(root.must("GET", f"/api/v1/clusters/{c}/status")["active"] == 0 for c in clusters), 30, "an empty cluster")
        found = self.check(root, clusters, acknowledged)
        for identifier in rng.sample(sorted(found), min(200, len(found))):
            self.check_history(root, identifier)
        replays = [self.replay(root, cluster) for cluster in clusters]
        self.assertEqual(sum(r["starts"] for r in replays), sum(d["attempt"] for d in found.values()), "the record has every start")
        self.assertEqual(server.terminate(), 0)
        out, _ = self.berth("doctor", "--data-dir", str(server.data))
        self.assertNotIn("BROKEN", out)
        print(f"{CYCLES} kills, {writes} acknowledged writes, {len(found)} deployments", flush=True)

    def check_history(self, client, identifier):
        """Each attempt started once, and the states went along the table."""
        state, attempts = None, []
        for event in client.pages(f"/api/v1/deployments/{identifier}/events"):
            now = event["kind"].removeprefix("deployment.")
            if now not in STATES:
                continue
            self.assertIn(now, TRANSITIONS.get(state, set()), f"{identifier}: {state} -> {now}")
            state = now
            if now == "starting":
                attempts.append(event["data"]["attempt"])
        self.assertEqual(attempts, list(range(1, len(attempts) + 1)), identifier)

    def test_processes_survive_and_never_run_twice(self):
        """Real processes: each appends a line when it starts. Whatever is killed when, one replica of an attempt is one line."""
        rng = random.Random(SEED + 1)
        server = self.server("--workload-users", "same")
        server.start()
        root = server.set_up()
        cluster = root.cluster("here", kind="process", resources={"cpu": 64, "memory": "8GiB"})
        started = self.folder / "started"
        started.write_text("")
        script = f'echo "$BERTH_DEPLOYMENT_ID $BERTH_ATTEMPT $BERTH_REPLICA $$" >> {started}; exec sleep 3600'
        deployments = []
        for cycle in range(max(10, CYCLES // 5)):
            threads = []

            def submit(client, name, replicas):
                try:
                    status, answer = client.call("POST", "/api/v1/deployments", {
                        "cluster_id": cluster, "name": name, "command": ["/bin/sh", "-c", script], "replicas": replicas,
                        "resources": {"cpu": 0.1, "memory": "16MiB"}})
                    if status == 201:
                        deployments.append(answer["id"])
                except OSError:
                    pass

            for i in range(4):
                threads.append(threading.Thread(target=submit, args=(root.clone(server), f"p{cycle}-{i}", 3 if i == 0 else 1)))
                threads[-1].start()
            time.sleep(rng.uniform(0.0, 0.08))
            server.kill()
            for thread in threads:
                thread.join()
            server.start()
            root.connection = None
        self.assertGreater(len(deployments), 10, "too little traffic to mean anything")
        for identifier in deployments:
            root.wait_state(identifier, "running")
        everything = list(root.pages(f"/api/v1/deployments?cluster_id={cluster}"))
        for d in everything:  # also those whose answer the kill cut off
            root.wait_state(d["id"], "running")
        replicas = {(d["id"], str(number)) for d in everything for number in range(d["replicas"])}
        wait_until(lambda: len(started.read_text().splitlines()) >= len(replicas), what="a line of each")
        lines = [line.split() for line in started.read_text().splitlines()]
        keys = [(line[0], line[1], line[2]) for line in lines]
        self.assertEqual(len(keys), len(set(keys)), "a replica was started twice")
        self.assertEqual({(key[0], key[2]) for key in keys}, replicas)
        pids = [int(line[3]) for line in lines]
        self.assertTrue(all(os.path.exists(f"/proc/{pid}") for pid in pids), "a process did not survive the server")
        for d in everything:
            root.must("POST", f"/api/v1/deployments/{d['id']}/stop")
        for d in everything:
            root.wait_state(d["id"], "stopped", seconds=40)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 10, "the end of every process")
        self.assertEqual(server.terminate(), 0)
        left = subprocess.run(["pgrep", "-f", str(self.folder)], capture_output=True, text=True).stdout.split()
        self.assertEqual(left, [], "something was left behind")


if __name__ == "__main__":
    main()
