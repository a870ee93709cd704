#!/usr/bin/python3
"""What an installation of several processes does, over a real PostgreSQL and a real Redis on this machine.

    BERTH=build/release/src/app/berth bench/scaled/scaled_bench.py build/release/bench/scaled/scaled_load [PART ...]

Parts: creates latency outbox drain flush failover idle; without any: all. Prints a table. Rates are the median of
three runs, taken in turns with the embedded shape on the same machine.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "system"))

from harness import Client, Server, wait_until  # noqa: E402
from scaled_harness import Installation, eventually  # noqa: E402

SCRATCH = ROOT / "build" / "bench"


def row(what, figure, against="", goal=""):
    print(f"| {what:<58} | {figure:<34} | {against:<40} | {goal:<22} |", flush=True)


class Bench:
    def __init__(self, program):
        self.program = program

    def load(self, what, ports, token, clusters, **more):
        words = [self.program, what, "--ports", ",".join(map(str, ports)), "--token", token, "--clusters", ",".join(clusters)]
        for name, value in more.items():
            words += [f"--{name}", str(value)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        answer = json.loads(done.stdout)
        if answer.get("refused"):
            raise RuntimeError(f"{answer['refused']} were refused")
        return answer

    def installed(self, folder, apis, schedulers, lease="5s"):
        return Installation(folder, apis=apis, schedulers=schedulers, lease=lease).start()

    # --- creates and latency by the number of processes --------------------------------------------
    def creates(self, shapes=((1, 1), (2, 1), (1, 2), (2, 2), (3, 3)), count=15_000, rounds=3):
        with folder() as place:
            server = Server(place)
            server.start()
            try:
                client = server.set_up()
                full = full_cluster(client, "full")
                embedded = []
                for number in range(rounds):
                    embedded.append(self.load("creates", [server.port], client.token, [full], count=count, prefix=f"c{number}")["rate"])
                base = statistics.median(embedded)
                row("embedded: durable creates, 64 connections", f"{base:.0f}/s")
                idle = cluster(client, "idle", 8)
                got = self.load("starts", [server.port], client.token, [idle], count=500)
                row("embedded: submit to running", f"p50 {got['p50']:.2f} ms, p99 {got['p99']:.2f} ms")
            finally:
                server.close()
        for apis, schedulers in shapes:
            with folder() as place:
                installed = self.installed(place, apis, schedulers)
                try:
                    client = installed.client(installed.apis[0])
                    full = full_cluster(client, "full")
                    ports = [api.port for api in installed.apis]
                    rates = [self.load("creates", ports, client.token, [full], count=count // 2, prefix=f"c{number}") for number in range(rounds)]
                    rate = statistics.median(r["rate"] for r in rates)
                    name = f"{apis} API, {schedulers} scheduler"
                    row(f"{name}: durable creates into one cluster", f"{rate:.0f}/s, p99 {statistics.median(r['p99'] for r in rates):.1f} ms",
                        f"{rate / base:.2f}x of embedded ({base:.0f}/s)", ">= 0.3x" if apis == schedulers == 1 else "")
                    idle = cluster(client, "idle", 8)
                    got = self.load("starts", ports, client.token, [idle], count=500)
                    row(f"{name}: submit to running, idle cluster", f"p50 {got['p50']:.2f} ms, p99 {got['p99']:.2f} ms", "",
                        "<= 5 / 20 ms" if apis == schedulers == 1 else "")
                finally:
                    installed.close()

    # --- what publishing costs ------------------------------------------------------------------------
    def outbox(self, count=10_000, rounds=3):
        with folder() as place:
            installed = self.installed(place, 1, 1)
            try:
                client = installed.client(installed.apis[0])
                full = full_cluster(client, "full")
                rates = {"with": [], "without": [], "alone": []}
                for number in range(rounds):
                    one = lambda what: rates[what].append(self.load("creates", [installed.apis[0].port], client.token, [full],
                                                                    count=count, prefix=f"{what}{number}")["rate"])
                    one("with")
                    installed.redis.stop()
                    one("without")
                    installed.redis.start()
                    installed.schedulers[0].freeze()
                    one("alone")
                    installed.schedulers[0].thaw()
                middle = {what: statistics.median(values) for what, values in rates.items()}
                row("outbox: creates with relay and Redis", f"{middle['with']:.0f}/s", f"{middle['with'] / middle['alone']:.2f}x of no scheduler at all ({middle['alone']:.0f}/s)")
                row("outbox: creates while Redis is away", f"{middle['without']:.0f}/s", f"{middle['without'] / middle['alone']:.2f}x")
            finally:
                installed.close()

    # --- draining -------------------------------------------------------------------------------------
    def drain(self, clusters=1000, queued=100_000, shapes=(1, 2, 3)):
        for schedulers in shapes:
            with folder() as place:
                installed = self.installed(place, 1, 0)
                try:
                    client = installed.client(installed.apis[0])
                    ids = many_clusters(installed, client, clusters)
                    began = time.monotonic()
                    for first in range(0, clusters, 250):
                        self.load("creates", [installed.apis[0].port], client.token, ids[first:first + 250], count=queued * 250 // clusters, prefix=f"d{first}")
                    took = time.monotonic() - began
                    for _ in range(schedulers):
                        installed.add_scheduler()
                    began = time.monotonic()
                    left = "SELECT count(*) FROM deployments WHERE state = 'queued'"
                    eventually(lambda: installed.database.value(left) == "0", 900, "an empty queue")
                    seconds = time.monotonic() - began
                    row(f"drain {queued} over {clusters} clusters, {schedulers} scheduler", f"{seconds:.1f} s, {queued / seconds:.0f} starts/s",
                        f"submitted in {took:.1f} s, {queued / took:.0f}/s")
                finally:
                    installed.close()

    # --- a loss of Redis --------------------------------------------------------------------------------
    def flush(self, sizes=(100_000, 1_000_000)):
        for size in sizes:
            with folder() as place:
                installed = self.installed(place, 1, 1)
                try:
                    client = installed.client(installed.apis[0])
                    full = full_cluster(client, "full")
                    fill(installed, full, size)
                    key = f"berth:{{{full}}}:low"
                    wait = lambda: installed.redis.cli("ZCARD", key) == [str(size)]
                    eventually(lambda: installed.schedulers[0].runs(), 5, "a scheduler")
                    installed.redis.cli("FLUSHALL")
                    eventually(wait, 300, "the queue in Redis")
                    installed.redis.cli("FLUSHALL")
                    began = time.monotonic()
                    wait_until(wait, 300, "the queue in Redis", pause=0.02)
                    seconds = time.monotonic() - began
                    row(f"flushed: {size} queued are in Redis again after", f"{seconds:.2f} s", "", "<= 2 s" if size <= 100_000 else "<= 20 s")
                finally:
                    installed.close()

    # --- a killed scheduler ----------------------------------------------------------------------------
    def failover(self, times=5):
        with folder() as place:
            installed = self.installed(place, 1, 2)
            try:
                client = installed.client(installed.apis[0])
                where = cluster(client, "idle", 100)
                took = []
                for number in range(times):
                    eventually(installed.spread, 30, "spread clusters")
                    holder = eventually(lambda: installed.scheduler_of(where), 30, "a holder")
                    self.load("starts", [installed.apis[0].port], client.token, [where], count=5, prefix=f"w{number}")
                    holder.kill()
                    began = time.monotonic()
                    self.load("starts", [installed.apis[0].port], client.token, [where], count=1, prefix=f"k{number}")
                    took.append(time.monotonic() - began)
                    holder.start()
                row("killed scheduler: its cluster starts the next one after", f"{statistics.median(took):.2f} s, at most {max(took):.2f} s",
                    "lease time 5 s", "<= 6 s")
            finally:
                installed.close()

    # --- doing nothing -----------------------------------------------------------------------------------
    def idle(self, clusters=10_000, seconds=30):
        with folder() as place:
            installed = self.installed(place, 1, 1)
            try:
                client = installed.client(installed.apis[0])
                many_clusters(installed, client, clusters)
                eventually(lambda: installed.counts().get(installed.schedulers[0].address, 0) >= clusters, 120, "all clusters held")
                time.sleep(20)  # the first looks at all of them are no idling
                before = cpu(installed.schedulers[0].process.pid)
                time.sleep(seconds)
                used = cpu(installed.schedulers[0].process.pid) - before
                row(f"scheduler with {clusters} clusters, idle", f"{100 * used / seconds:.2f} % of a core",
                    f"resident {resident(installed.schedulers[0].process.pid)} MiB", "< 1 %")
            finally:
                installed.close()

    def latency(self):
        self.creates(shapes=((1, 1),), count=2_000, rounds=1)


# --- worlds ----------------------------------------------------------------------------------------------

class folder(tempfile.TemporaryDirectory):
    def __init__(self):
        SCRATCH.mkdir(parents=True, exist_ok=True)
        super().__init__(dir=SCRATCH, ignore_cleanup_errors=True)
        os.chmod(self.name, 0o755)


def cluster(client, name, cpus):
    return client.must("POST", "/api/v1/clusters", {"organization_id": client.organization, "name": name, "runtime": {"kind": "simulated"},
                                                    "resources": {"cpu": cpus, "memory": "1TiB"}})["id"]


def full_cluster(client, name):
    """Its only place is taken: what comes waits."""
    made = cluster(client, name, 1)
    first = client.must("POST", "/api/v1/deployments", {"cluster_id": made, "name": name, "priority": "high", "kind": "service",
                                                        "resources": {"cpu": 1, "memory": "1MiB"}})["id"]
    wait_until(lambda: client.must("GET", f"/api/v1/deployments/{first}")["state"] == "running", 30, "the holder runs")
    return made


def many_clusters(installed, client, count):
    """Written by SQL, for that many by hand take their time."""
    cluster(client, "pattern", 1000)
    key = "SELECT id FROM clusters WHERE name = 'pattern'"
    make = "decode(lpad(to_hex(g), 8, '0') || '0000700080000000000000aa', 'hex')"
    installed.database.query(
        f"INSERT INTO clusters (id, org_id, name, runtime, speed, policy, created_at, version) SELECT {make}, c.org_id, 'c' || g, c.runtime, c.speed, "
        f"c.policy, c.created_at, 1 FROM clusters c, generate_series(1, {count}) g WHERE c.id = ({key})",
        f"INSERT INTO nodes (cluster_id, name, ordinal, cpu, memory, gpus, free_cpu, free_memory) SELECT {make}, n.name, 0, n.cpu, n.memory, 0, n.cpu, "
        f"n.memory FROM nodes n, generate_series(1, {count}) g WHERE n.cluster_id = ({key})", "ANALYZE")
    return [text_id("clu", f"{number:08x}0000700080000000000000aa") for number in range(1, count + 1)]


def text_id(prefix, hexadecimal):
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    number, out = int(hexadecimal, 16), ""
    for _ in range(26):
        out = alphabet[number & 31] + out
        number >>= 5
    return f"{prefix}_{out}"


def fill(installed, where, count):
    """So many that wait, by SQL."""
    from ledger_check import id_hex
    made = "decode(lpad(to_hex(g), 12, '0') || '70008000000000000000', 'hex')"
    installed.database.query(
        f"INSERT INTO deployments (id, org_id, cluster_id, name, priority, state, ord, cpu, memory, gpu, spec, created_by, created_at, updated_at, version) "
        f"SELECT {made}, d.org_id, d.cluster_id, 'f' || g, 'low', 'queued', 1000 + g, d.cpu, d.memory, d.gpu, d.spec, d.created_by, d.created_at, d.updated_at, 1 "
        f"FROM (SELECT * FROM deployments WHERE cluster_id = '\\x{id_hex(where)}' LIMIT 1) d, generate_series(1, {count}) g",
        f"UPDATE clusters SET next_order = {count + 2000} WHERE id = '\\x{id_hex(where)}'", "ANALYZE", timeout=300)


def cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    line = next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def main():
    bench = Bench(sys.argv[1])
    parts = sys.argv[2:] or ["creates", "outbox", "drain", "flush", "failover", "idle"]
    row("What", "Figure", "Against", "Goal")
    print("|---|---|---|---|")
    for part in parts:
        getattr(bench, part)()


main()
