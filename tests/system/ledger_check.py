"""Debit and credit, checked from outside: what a database says is added up again here, by nobody's code but this.

`snapshot` reads one frozen view; `objections` answers a sentence for each thing that must not be.
"""

import collections

ACTIVE = ("starting", "running", "stopping", "preempting")
TERMINAL = ("stopped", "succeeded", "failed", "cancelled")
DEVICE = 1000  # thousandths
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

TRANSITIONS = {
    None: {"queued"},
    "queued": {"starting", "cancelled"},
    "starting": {"running", "stopping", "preempting", "succeeded", "failed", "queued"},
    "running": {"stopping", "preempting", "succeeded", "failed", "queued"},
    "stopping": {"stopped"},
    "preempting": {"stopping", "queued"},
}
STATES = {state for allowed in TRANSITIONS.values() for state in allowed}

QUERIES = {
    "nodes": "SELECT cluster_id, name, cpu, memory, gpus, free_cpu, free_memory FROM nodes",
    "gpus": "SELECT cluster_id, node, device, free FROM gpus",
    "deployments": "SELECT id, cluster_id, name, state, priority, ord, cpu, memory, gpu, replicas, attempt, node, retry_at FROM deployments",
    "reservations": "SELECT deployment_id, attempt, replica, cluster_id, node, cpu, memory, gpu_grant FROM reservations ORDER BY replica",
    "events": "SELECT seq, deployment_id, kind, CASE WHEN kind = 'deployment.starting' THEN data::jsonb END AS data FROM events ORDER BY seq",
    "counter": "SELECT value FROM event_counter",
}


def id_hex(identifier):
    """ "clu_01m8..." -> the 16 bytes in the database, hexadecimal."""
    value = 0
    for letter in identifier.partition("_")[2]:
        value = value << 5 | ALPHABET.index(letter)
    return f"{value:032x}"


def snapshot(database):
    """One frozen view of the tables, each a list of rows by column name; ids are hexadecimal."""
    return database.rows(QUERIES)


def shares(grant):
    """ "0:1000,1:500" -> {0: 1000, 1: 500} """
    return {int(device): int(milli) for device, milli in (part.split(":") for part in grant.split(",") if part)}


def sums(world):
    """What is free plus what is reserved is the capacity, of each node and of each device."""
    held, devices = collections.defaultdict(lambda: [0, 0]), collections.Counter()
    for r in world["reservations"]:
        place = (r["cluster_id"], r["node"])
        held[place][0] += r["cpu"]
        held[place][1] += r["memory"]
        for device, milli in shares(r["gpu_grant"]).items():
            devices[(*place, device)] += milli
    for n in world["nodes"]:
        cpu, memory = held.pop((n["cluster_id"], n["name"]), (0, 0))
        for what, free, used, capacity in (("cpu", n["free_cpu"], cpu, n["cpu"]), ("memory", n["free_memory"], memory, n["memory"])):
            if free < 0 or free + used != capacity:
                yield f"node {n['name']} of {n['cluster_id']}: {what} {capacity} is not free {free} + reserved {used}"
    for g in world["gpus"]:
        used = devices.pop((g["cluster_id"], g["node"], g["device"]), 0)
        if g["free"] < 0 or g["free"] + used != DEVICE:
            yield f"gpu {g['device']} of {g['node']} of {g['cluster_id']}: {DEVICE} is not free {g['free']} + reserved {used}"
    for place in [*held, *devices]:
        yield f"something is reserved at {place}, which does not exist"


def pairs(world):
    """Each replica of an active deployment holds exactly one reservation, of its present attempt and as large as it asked for; nobody else any."""
    held = collections.defaultdict(list)
    for r in world["reservations"]:
        held[r["deployment_id"]].append(r)
    for d in world["deployments"]:
        mine = held.pop(d["id"], [])
        if d["state"] not in ACTIVE:
            if mine:
                yield f"{d['name']} is {d['state']} and holds {len(mine)} reservations"
            continue
        if len(mine) != d["replicas"]:
            yield f"{d['name']} is {d['state']} and holds {len(mine)} reservations, not {d['replicas']}"
            continue
        for number, r in enumerate(mine):
            node = d["node"] if number == 0 else r["node"]  # where the others are, the row does not say in a column
            asked = (number, d["attempt"], d["cluster_id"], node, d["cpu"], d["memory"], d["gpu"])
            got = (r["replica"], r["attempt"], r["cluster_id"], r["node"], r["cpu"], r["memory"], sum(shares(r["gpu_grant"]).values()))
            if asked != got:
                yield f"{d['name']}: its reservation is {got}, it should be {asked}"
    for deployment in held:
        yield f"a reservation belongs to {deployment}, which does not exist"


def numbering(world):
    """Event numbers have no gap, and the counter stands at the last one."""
    before = None
    for e in world["events"]:
        if before is not None and e["seq"] != before + 1:
            yield f"event {e['seq']} follows {before}"
        before = e["seq"]
    counter = world["counter"][0]["value"]
    if before is not None and counter != before:
        yield f"the counter stands at {counter}, the last event is {before}"


def histories(world):
    """States go along the table, each attempt starts once, one after the other, and the record is where its history ends."""
    state, attempts = {}, collections.defaultdict(list)
    for e in world["events"]:
        now = e["kind"].removeprefix("deployment.")
        if now == e["kind"] or now not in STATES:
            continue
        one = e["deployment_id"]
        if now not in TRANSITIONS.get(state.get(one), set()):
            yield f"event {e['seq']}: {one} went from {state.get(one)} to {now}"
        state[one] = now
        if now == "starting":
            attempts[one].append(e["data"]["attempt"])
    for one, numbers in attempts.items():
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{one} started as attempts {numbers}"
    for d in world["deployments"]:
        if state.get(d["id"]) != d["state"]:
            yield f"{d['name']} is {d['state']}, its history ends at {state.get(d['id'])}"
        if d["attempt"] != len(attempts.get(d["id"], [])):
            yield f"{d['name']} is at attempt {d['attempt']}, its history has {len(attempts.get(d['id'], []))}"


def replay(world):
    """The history once more, from its first event: at no instant did a node or a device hold more than it has."""
    room = {(n["cluster_id"], n["name"]): (n["cpu"], n["memory"]) for n in world["nodes"]}
    known = {d["id"]: d for d in world["deployments"]}
    used, devices, holds = collections.defaultdict(lambda: [0, 0]), collections.Counter(), {}
    for e in world["events"]:
        kind, one = e["kind"], e["deployment_id"]
        if kind == "deployment.starting" and one in known:
            d = known[one]
            if one in holds:
                yield f"event {e['seq']}: {d['name']} starts although it holds a place"
            holds[one] = []
            for got in (e["data"], *e["data"].get("more", [])):
                place = (d["cluster_id"], got["node"])
                granted = [(*place, g["device"], round(g["share"] * DEVICE)) for g in got.get("gpus", [])]
                holds[one].append((place, d["cpu"], d["memory"], granted))
                used[place][0] += d["cpu"]
                used[place][1] += d["memory"]
                if place not in room or used[place][0] > room[place][0] or used[place][1] > room[place][1]:
                    yield f"event {e['seq']}: {place} holds {used[place]} of {room.get(place)}"
                for *device, milli in granted:
                    devices[tuple(device)] += milli
                    if devices[tuple(device)] > DEVICE:
                        yield f"event {e['seq']}: device {device} holds {devices[tuple(device)]} of {DEVICE}"
                if sum(g[-1] for g in granted) != d["gpu"]:
                    yield f"event {e['seq']}: {d['name']} got devices {granted} for gpu {d['gpu']}"
            if len(holds[one]) != d["replicas"]:
                yield f"event {e['seq']}: {len(holds[one])} of the {d['replicas']} replicas of {d['name']} start"
        elif one in holds and kind.removeprefix("deployment.") in (*TERMINAL, "queued"):
            for place, cpu, memory, granted in holds.pop(one):
                used[place][0] -= cpu
                used[place][1] -= memory
                for *device, milli in granted:
                    devices[tuple(device)] -= milli


RULES = (sums, pairs, numbering, histories, replay)


def objections(world):
    return [f"{rule.__name__}: {text}" for rule in RULES for text in rule(world)]
