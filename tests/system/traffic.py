"""Clients that submit, stop and re-prioritize while things break, and remember what they were told.

An answer that got lost is asked for again under the same Idempotency-Key, as a careful client does.
"""

import collections
import random
import threading

from ledger_check import id_hex

AGAIN = (429, 502, 503, 504)
PATIENCE = 20  # seconds; more than the longest bound of a statement, a lock or a connection


class Traffic(threading.Thread):
    """One client. `wrong` is what no server may answer; the test fails if it holds anything."""

    def __init__(self, client, clusters, name, seed, open_at_most=12, pace=0.01):
        super().__init__(name=name, daemon=True)
        self.client, self.clusters = client, clusters
        self.random = random.Random(seed)
        self.open_at_most, self.pace = open_at_most, pace  # pace: seconds of thought, on average
        self.ending = threading.Event()
        self.acknowledged = {}  # id -> "submitted" or "stop asked"
        self.names = {}  # id -> name
        self.open = []
        self.unclear = set()  # names whose last answer never came
        self.writes = self.repeated = self.refused = self.reads = self.refused_reads = 0
        self.wrong = []

    def run(self):
        number = 0
        while not self.ending.is_set() and not self.wrong:
            number += 1
            self.submit(f"{self.name}-{number}")
            if self.open and (len(self.open) > self.open_at_most or self.random.random() < 0.4):
                self.stop(self.open.pop(self.random.randrange(len(self.open))))
            if self.open and self.random.random() < 0.1:
                self.prioritize(self.random.choice(self.open))
            if self.random.random() < 0.1:
                self.look()
            self.ending.wait(self.random.random() * 2 * self.pace)

    def look(self):
        """What the holder of the cluster's lease is asked for: an answer, or a word on when to ask again."""
        cluster = f"/api/v1/clusters/{self.random.choice(self.clusters)}"
        path = self.random.choice([f"{cluster}/status", f"{cluster}/queue"])
        try:
            status, answer = self.client.call("GET", path, timeout=PATIENCE)
        except OSError as error:
            self.lost(f"GET {path}", error)
            return
        if status == 503 and self.client.headers.get("Retry-After"):
            self.refused_reads += 1
        elif status != 200:
            self.wrong.append(f"GET {path}: {status} {answer}")
        else:
            self.reads += 1

    def write(self, method, path, body=None, key=None):
        """Until there is an answer, or the end. Answers None for the latter."""
        while True:
            try:
                status, answer = self.client.call(method, path, body, {"Idempotency-Key": key} if key else None, timeout=PATIENCE)
                if status not in AGAIN:
                    self.writes += status < 300
                    return status, answer
                self.refused += 1
                if status == 503 and not self.client.headers.get("Retry-After"):
                    self.wrong.append(f"{method} {path}: 503 without Retry-After: {answer}")
                    return None
            except OSError as error:
                self.lost(f"{method} {path}", error)
                self.repeated += 1
            if self.ending.wait(0.02 + self.random.random() * 0.1):
                return None

    def lost(self, what, error):
        """A connection may break, for its server was killed; but nobody may be left waiting."""
        if "timed out" in str(error):
            self.wrong.append(f"{what}: no answer within {PATIENCE} s")

    def submit(self, name):
        body = {"cluster_id": self.random.choice(self.clusters), "name": name, "kind": "job",
                "priority": self.random.choice(["high", "low"]),
                "resources": {"cpu": self.random.choice([1, 2]), "memory": "1MiB", "gpu": self.random.choice([0, 0.5, 1])},
                "replicas": self.random.choice([1] * 9 + [2]),
                "simulate": {"duration": self.random.choice(["5ms", "50ms", "1h"])}}
        reply = self.write("POST", "/api/v1/deployments", body, key=name)
        if reply is None:
            self.unclear.add(name)
        elif reply[0] != 201:
            self.wrong.append(f"submitting {name}: {reply}")
        else:
            self.acknowledged[reply[1]["id"]] = "submitted"
            self.names[reply[1]["id"]] = name
            self.open.append(reply[1]["id"])

    def stop(self, deployment):
        reply = self.write("POST", f"/api/v1/deployments/{deployment}/stop")
        if reply is not None and reply[0] == 200:
            self.acknowledged[deployment] = "stop asked"
        elif reply is not None:
            self.wrong.append(f"stopping {deployment}: {reply}")

    def prioritize(self, deployment):
        reply = self.write("PATCH", f"/api/v1/deployments/{deployment}", {"priority": self.random.choice(["high", "low"])})
        if reply is not None and reply[0] not in (200, 409):  # 409: it waits no more
            self.wrong.append(f"priority of {deployment}: {reply}")

    def end(self):
        self.ending.set()
        self.join(40)
        if self.is_alive():
            self.wrong.append(f"{self.name} hangs")


class Crowd:
    """Several clients at once; ended as one."""

    def __init__(self, clients, clusters, prefix, seed, **more):
        rng = random.Random(seed)
        self.members = [Traffic(client, clusters, f"{prefix}{i}", rng.randrange(1 << 32), **more) for i, client in enumerate(clients)]

    def __enter__(self):
        for member in self.members:
            member.start()
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.ending.set()
        for member in self.members:
            member.end()

    def total(self, what):
        return sum(getattr(member, what) for member in self.members)

    @property
    def writes(self):
        return self.total("writes")

    @property
    def wrong(self):
        return [text for member in self.members for text in member.wrong]

    def broken_promises(self, deployments):
        """What was acknowledged, against the rows of the table (ids hexadecimal, as `snapshot` reads them)."""
        rows = {d["id"]: d for d in deployments}
        for name, times in collections.Counter(d["name"] for d in deployments).items():
            if times > 1:
                yield f"{name} was submitted once and exists {times} times"
        for member in self.members:
            for one, promise in member.acknowledged.items():
                row = rows.get(id_hex(one))
                if row is None:
                    yield f"{member.names[one]} was acknowledged as {one} and is gone"
                elif row["name"] != member.names[one]:
                    yield f"{one} was acknowledged as {member.names[one]} and is {row['name']}"
                elif promise == "stop asked" and row["state"] not in ("stopping", "stopped", "cancelled", "succeeded", "failed"):
                    yield f"the stop of {member.names[one]} was acknowledged, and it is {row['state']}"
