#!/usr/bin/python3
"""Kueue's published performance configuration `baseline`, replayed through Berth's API in real time.

    BERTH=build/release/src/app/berth bench/kueue/kueue_baseline.py [POLICY]

30 queues of 20 units; into each come 350 small (1 unit for 0.2 s, every 0.1 s), 100 medium (5 units for 0.5 s, every
0.5 s) and 50 large workloads (20 units for 1 s, every 1.2 s), 15,000 together. One unit is one core of a simulated
cluster; the large ones, which have the highest of Kueue's three priorities, are high here and the others low.

The work of one queue is 1,320 unit-seconds, so that nobody can be done before 66 s. Kueue needs 351 s on average for
it, but it goes through a real Kubernetes API server and lets queues borrow from each other: the systems are compared
here, not the algorithms.
"""

import datetime
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "system"))

from harness import Server, wait_until  # noqa: E402

QUEUES = 30
UNITS = 20
FLOOR = 66.0
KUEUE = {"all": 351.1, "large": 16.5, "medium": 76.8, "small": 215.5}
# name: how many, every so many seconds, for so long, units, priority
CLASSES = {
    "small": (350, 0.1, 0.2, 1, "low"),
    "medium": (100, 0.5, 0.5, 5, "low"),
    "large": (50, 1.2, 1.0, 20, "high"),
}
SENDERS = 4


def submissions(clusters):
    out = []
    for cluster in clusters:
        for name, (count, every, lasts, units, priority) in CLASSES.items():
            for number in range(count):
                body = {"cluster_id": cluster, "kind": "job", "priority": priority, "name": f"{name}-{cluster[-6:]}-{number}",
                        "resources": {"cpu": units}, "max_run_time": f"{int(lasts * 1000)}ms", "stop_grace": 0,
                        "simulate": {"duration": f"{int(lasts * 1000)}ms"}}
                out.append((number * every, body))
    out.sort(key=lambda one: one[0])
    return out


def send(client, mine, begin, late):
    for at, body in mine:
        pause = begin + at - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        late.append(max(0.0, -pause))
        client.must("POST", "/api/v1/deployments", body)


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def idle(client, cluster):
    status = client.must("GET", f"/api/v1/clusters/{cluster}/status")
    return status["active"] == 0 and status["queue"]["high"] + status["queue"]["low"] == 0


def main():
    policy = sys.argv[1] if len(sys.argv) > 1 else "strict"
    scratch = ROOT / "build" / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        server = Server(folder)
        server.start()
        try:
            client = server.set_up()
            clusters = [
                client.must("POST", "/api/v1/clusters", {
                    "organization_id": client.organization, "name": f"queue-{n}", "policy": policy,
                    "runtime": {"kind": "simulated"}, "resources": {"cpu": UNITS}})["id"]
                for n in range(QUEUES)]
            todo = submissions(clusters)
            late = []
            begin = time.monotonic() + 0.5
            threads = [threading.Thread(target=send, args=(client.clone(), todo[n::SENDERS], begin, late)) for n in range(SENDERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for cluster in clusters:
                wait_until(lambda c=cluster: idle(client, c), 600, "the end", 0.05)
            report(client, clusters, policy, late)
        finally:
            server.close()


def report(client, clusters, policy, late):
    waits = {name: [] for name in CLASSES}
    spans = []
    states = {}
    for cluster in clusters:
        jobs = list(client.pages(f"/api/v1/deployments?cluster_id={cluster}"))
        for job in jobs:
            states[job["state"]] = states.get(job["state"], 0) + 1
            waits[job["name"].split("-")[0]].append(seconds(job["started_at"]) - seconds(job["created_at"]))
        spans.append(max(seconds(j["ended_at"]) for j in jobs) - min(seconds(j["created_at"]) for j in jobs))
    wall = max(spans)
    print(f"{sum(states.values())} workloads in {len(clusters)} queues, policy {policy}: {states}")
    print(f"submitted at most {max(late) * 1000:.0f} ms after their time")
    print("| Measured | Berth | Kueue (published) | floor |")
    print("|---|---|---|---|")
    print(f"| until all have ended | {wall:.1f} s = {wall / FLOOR:.3f}x of the floor | {KUEUE['all']} s | {FLOOR} s |")
    for name in CLASSES:
        print(f"| mean wait until it runs, {name} | {statistics.mean(waits[name]):.2f} s | {KUEUE[name]} s | |")


if __name__ == "__main__":
    if not os.environ.get("BERTH"):
        sys.exit("Say which program: BERTH=build/release/src/app/berth")
    main()
