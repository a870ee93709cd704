#!/usr/bin/python3
"""Faults of the scaled-out shape: processes, Redis and PostgreSQL are killed, frozen, emptied and restarted while
clients submit and stop. Afterwards everything acknowledged is there, nothing has started twice, nothing was ever
over-committed, by a check of this test's own (ledger_check.py), and work goes on.

CYCLES (100), ROUNDS (1000) and SEED in the environment; the seed is printed. A run with too little traffic fails.
"""

import collections
import os
import pathlib
import random
import signal
import threading
import time

from harness import Client, main
from ledger_check import id_hex, snapshot
from scaled_harness import ScaledTest, alive, eventually, patience
from traffic import Crowd

CYCLES = int(os.environ.get("CYCLES", "100"))
ROUNDS = int(os.environ.get("ROUNDS", "1000"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 32))))
AT_ONCE = 5  # seconds in which a start is due that waits for nothing; generous


class Faults(ScaledTest):
    def setUp(self):
        super().setUp()
        print(f"seed={SEED} cycles={CYCLES}", flush=True)
        self.rng = random.Random(SEED)

    def shape(self, clusters=3, **shape):
        """An installation with some clusters of one node; answers a client of all its APIs.

        Traffic takes whole cores, so half a core is always left for what `starts` submits.
        """
        self.installed = self.installation(**shape)
        client = self.installed.client()
        self.clusters = [client.cluster(f"c{i}", resources={"cpu": 8.5, "memory": "64GiB", "gpu": 4}) for i in range(clusters)]
        return client

    def crowd(self, size=4, prefix="t", **more):
        return Crowd([self.installed.client() for _ in range(size)], self.clusters, prefix, self.rng.randrange(1 << 32), **more)

    def settled(self, client, *crowds):
        """Nothing runs any more, and everything is as it was promised."""
        self.empty(client)
        world = self.sound(self.installed)
        for cluster in self.clusters:
            self.replay(client, cluster)
        for crowd in crowds:
            self.promises(crowd, world["deployments"])
        eventually(lambda: not self.installed.broken(), 20, "a doctor that finds nothing broken")
        eventually(lambda: self.installed.relayed_all() and not list(self.installed.queue_differences(self.clusters)), 20, "queues as in SQL")

    def promises(self, crowd, deployments):
        self.assertEqual(crowd.wrong, [])
        self.assertEqual(list(crowd.broken_promises(deployments))[:10], [])
        mine = {member.name for member in crowd.members}
        known = {id_hex(one) for member in crowd.members for one in member.acknowledged}
        unclear = {name for member in crowd.members for name in member.unclear}
        extra = [d["name"] for d in deployments if d["name"].rpartition("-")[0] in mine and d["id"] not in known and d["name"] not in unclear]
        self.assertEqual(extra, [], "it exists, but nobody was told")


class RandomKills(Faults):
    def test_everything_is_killed_again_and_again(self):
        client = self.shape(apis=2, schedulers=3)
        installed = self.installed
        kinds = ["api", "scheduler", "redis", "postgres"] * (CYCLES // 4 + 1)
        self.rng.shuffle(kinds)
        hit = collections.Counter()
        with self.crowd(size=6) as crowd:
            for cycle, kind in enumerate(kinds[:CYCLES]):
                self.under_traffic(crowd)
                second = self.rng.choice(kinds) if self.rng.random() < 0.2 else kind
                time.sleep(self.rng.uniform(0.0, 0.4))
                hit[kind] += 1
                # What others need comes back first.
                back = [self.kill(each) for each in sorted({kind, second}, key=("postgres", "redis", "scheduler", "api").index)]
                time.sleep(self.rng.uniform(0.0, 0.3))
                for again in back:
                    again()
                self.assertEqual(installed.died(), [], f"cycle {cycle}")
                self.assertEqual(crowd.wrong, [], f"cycle {cycle}")
                if cycle % 25 == 24:
                    self.assertEqual(installed.objections()[:10], [], f"cycle {cycle}")
            self.under_traffic(crowd)
        for part in installed.parts:
            eventually(part.ready, 30, f"readiness of {part.name}")
        eventually(installed.spread, 30, "a scheduler for each cluster")
        for cluster in self.clusters:
            self.starts(client, cluster, f"afterwards-{cluster[-6:]}", seconds=20)
        self.settled(client, crowd)
        self.assertEqual(set(hit), {"api", "scheduler", "redis", "postgres"})
        self.assertGreaterEqual(min(hit.values()), CYCLES // 8)
        self.assertGreaterEqual(crowd.writes, CYCLES * 10, "too little traffic to mean anything")
        self.assertGreater(crowd.total("repeated") + crowd.total("refused"), 0, "no client noticed anything")
        print(f"{dict(hit)}, {crowd.writes} acknowledged writes, {crowd.total('repeated')} answers lost, "
              f"{crowd.total('refused')} refused", flush=True)

    def under_traffic(self, crowd):
        """A fault that hits nobody says nothing: something was acknowledged since the last one."""
        before = crowd.writes
        eventually(lambda: crowd.writes >= before + 5 or crowd.wrong, 30, f"traffic ({crowd.writes} writes so far)")

    def kill(self, kind):
        """Answers what brings it back."""
        if kind in ("redis", "postgres"):
            service = self.installed.redis if kind == "redis" else self.installed.database
            service.kill()
            return service.start
        part = self.rng.choice(self.installed.apis if kind == "api" else self.installed.schedulers)
        part.kill()
        return lambda: self.again(part)

    def again(self, part):
        """As a supervisor does: until it stays, for the database may be away."""
        for _ in patience(30):
            part.spawn()
            try:
                part.await_announcement()
                return
            except AssertionError:
                part.process.wait()
                part.process.stdout.close()
                time.sleep(0.1)
        self.fail(f"{part.name} did not come back: " + part.log.read_text()[-1000:])


class FrozenScheduler(Faults):
    def test_it_loses_its_clusters_and_wakes_harmlessly(self):
        client = self.shape(clusters=4, apis=2, schedulers=2, lease="1s")
        installed = self.installed
        eventually(installed.spread, 20, "clusters that are spread")
        taken = 0
        with self.crowd() as crowd:
            for number in range(max(5, CYCLES // 20)):
                victim = self.rng.choice(installed.schedulers)
                before = {c: epoch for c, (address, epoch) in installed.holders().items() if address == victim.address}
                self.assertTrue(before, "it decides about nothing, so freezing it says nothing")
                victim.freeze()
                cluster = next(c for c in self.clusters if id_hex(c) in before)
                self.answers(f"/api/v1/clusters/{cluster}/status")

                def moved(before=before, victim=victim):
                    now = installed.holders()
                    return all(now[c][0] not in ("", victim.address) and now[c][1] > epoch for c, epoch in before.items())

                eventually(moved, 15, "another holder with a higher epoch for each of its clusters")
                taken += len(before)
                self.starts(client, cluster, f"meanwhile-{number}", seconds=10)
                written = crowd.writes
                eventually(lambda: crowd.writes > written + 20, 20, "traffic without it")
                self.assertEqual(installed.objections()[:10], [])
                victim.thaw()
                eventually(installed.spread, 20, "clusters that are spread again")
                self.assertEqual(installed.objections()[:10], [])
                client.must("POST", f"/api/v1/deployments/{self.by_name(client, f'meanwhile-{number}')}/stop")
        self.settled(client, crowd)
        print(f"{taken} clusters taken from the frozen, {crowd.writes} acknowledged writes", flush=True)

    def answers(self, path):
        """A question to whom nobody hears from is answered all the same, or refused with a word on when to ask again."""
        asking = self.installed.client(self.installed.apis[0])
        try:
            status, answer = asking.call("GET", path, timeout=15)
        except OSError as error:
            self.fail(f"GET {path}, whose scheduler is frozen: {error}")
        self.assertIn(status, (200, 503), answer)
        if status == 503:
            self.assertGreaterEqual(int(asking.headers["Retry-After"]), 1)

    def by_name(self, client, name):
        return client.must("GET", f"/api/v1/deployments?name={name}")["items"][0]["id"]


class LastGpu(Faults):
    CONNECTIONS = 64

    def test_a_storm_on_one_device(self):
        client = self.shape(clusters=0, apis=3, schedulers=2)
        cluster = client.cluster("one", resources={"cpu": 64, "memory": "64GiB", "gpu": 1})
        self.clusters = [cluster]
        ending, wrong, handed = threading.Event(), [], collections.Counter()

        def storm(number):
            try:
                mine = Client(self.installed.apis[number % 3], client.token, client.organization)
                rng, previous, count = random.Random(SEED + number), None, 0
                while not ending.is_set():
                    count += 1
                    demand = self.demand(cluster, f"s{number}-{count}", rng.choice(["high", "low"]), rng.choice(["1ms", "5ms", "1h"]))
                    made = mine.must("POST", "/api/v1/deployments", demand)["id"]
                    if previous:
                        mine.must("POST", f"/api/v1/deployments/{previous}/stop")
                    previous = made
                    ending.wait(rng.random() * 0.4)
                    handed["submitted"] += 1
            except (OSError, AssertionError) as error:
                wrong.append(f"connection {number}: {error}")

        threads = [threading.Thread(target=storm, args=(n,), daemon=True) for n in range(self.CONNECTIONS)]
        for thread in threads:
            thread.start()
        while not wrong and (so_far := self.rounds()) < ROUNDS:
            eventually(lambda so_far=so_far: wrong or self.rounds(pause=0.5) > so_far, 30, f"another start after {so_far}")
        ending.set()
        for thread in threads:
            thread.join(60)
        self.assertEqual((wrong[:3], [t for t in threads if t.is_alive()]), ([], []))
        self.sound(self.installed)  # its replay walks through every start: two at once would be an objection
        self.hand_over(client, cluster)
        self.settled(client)
        print(f"{self.rounds()} starts on one device, {handed['submitted']} submissions, {self.CONNECTIONS} connections", flush=True)

    def demand(self, cluster, name, priority, duration):
        return {"cluster_id": cluster, "name": name, "priority": priority, "resources": {"cpu": 0.1, "memory": "1MiB", "gpu": 1},
                "simulate": {"duration": duration}}

    def rounds(self, pause=0.0):
        time.sleep(pause)
        return int(self.installed.database.value("SELECT count(*) FROM events WHERE kind = 'deployment.starting'"))

    def hand_over(self, client, cluster):
        """Whoever runs is stopped, again and again: the next one is always the right one, and the only one."""
        self.empty(client)
        for name, priority in (("first", "low"), ("low-1", "low"), ("low-2", "low"), ("high-1", "high"), ("low-3", "low"), ("high-2", "high")):
            client.must("POST", "/api/v1/deployments", self.demand(cluster, name, priority, "1h"))
        for name in ("first", "high-1", "high-2", "low-1", "low-2", "low-3"):
            eventually(lambda: self.in_state("starting', 'running', 'stopping") == self.in_state("running") != [], 10, f"{name}, running alone")
            (running,) = client.must("GET", "/api/v1/deployments?state=running")["items"]
            self.assertEqual(running["name"], name)
            client.must("POST", f"/api/v1/deployments/{running['id']}/stop")
            client.wait_state(running["id"], "stopped")

    def in_state(self, states):
        return self.installed.database.rows({"some": f"SELECT name FROM deployments WHERE state IN ('{states}')"})["some"]


class Processes(Faults):
    def test_they_survive_their_scheduler_and_never_run_twice(self):
        """Real processes: each appends a line when it starts. Whoever is killed when, one attempt is one line."""
        client = self.shape(clusters=0, apis=2, schedulers=2, lease="1s")
        installed = self.installed
        clusters = [client.cluster(f"here-{i}", kind="process", resources={"cpu": 64, "memory": "8GiB"}) for i in range(2)]
        eventually(installed.spread, 20, "clusters that are spread")
        started = self.folder / "started"
        started.write_text("")
        self.addCleanup(self.end_processes, started)
        script = f'echo "$BERTH_DEPLOYMENT_ID $BERTH_ATTEMPT $$" >> {started}; exec sleep 3600'
        everything = []
        for cycle in range(max(10, CYCLES // 10)):
            for number in range(4):
                body = {"cluster_id": clusters[number % 2], "name": f"p{cycle}-{number}", "command": ["/bin/sh", "-c", script],
                        "resources": {"cpu": 0.1, "memory": "16MiB"}}
                everything.append(client.must("POST", "/api/v1/deployments", body)["id"])
            time.sleep(self.rng.uniform(0.0, 0.1))
            victim = self.rng.choice(installed.schedulers)
            victim.kill()
            if cycle % 2:  # the other one takes over; else it is back before its lease is over
                cluster = next((c for c in clusters if installed.holders()[id_hex(c)][0] == victim.address), clusters[0])
                eventually(lambda cluster=cluster: installed.scheduler_of(cluster) not in (None, victim), 15, "another holder")
            victim.start()
        for one in everything:
            client.wait_state(one, "running", seconds=30)
        lines = [line.split() for line in started.read_text().splitlines()]
        keys = collections.Counter((line[0], line[1]) for line in lines)
        self.assertEqual([key for key, times in keys.items() if times > 1], [], "an attempt was started twice")
        self.assertEqual({key[0] for key in keys}, set(everything))
        living = {line[0] for line in lines if alive(int(line[2]))}
        self.assertEqual(living, set(everything), "a process did not survive")
        self.assertEqual(len([line for line in lines if alive(int(line[2]))]), len(everything), "something runs twice")
        self.clusters = clusters
        self.settled(client)
        eventually(lambda: not any(alive(int(line[2])) for line in lines), 20, "the end of every process")


    def end_processes(self, started):
        """What a failure of the test left running."""
        for line in started.read_text().splitlines():
            pid = int(line.split()[2])
            if alive(pid) and b"sleep" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


class KilledRelay(Faults):
    def test_between_publishing_and_remembering(self):
        """Whoever relays is among the killed: every second time it is all processes at once."""
        client = self.shape(apis=2, schedulers=2, lease="1s")
        installed = self.installed
        rounds = max(20, CYCLES // 4)
        with self.crowd(size=6) as crowd:
            for number in range(rounds):
                before = crowd.writes
                eventually(lambda before=before: crowd.writes > before + 10, 30, "traffic")
                time.sleep(self.rng.uniform(0.0, 0.15))
                victims = installed.parts if number % 2 else [self.rng.choice(installed.schedulers)]
                for part in victims:
                    part.process.send_signal(signal.SIGKILL)  # all first, then one after the other is waited for
                for part in victims:
                    part.kill()
                for part in victims:
                    part.start()
                mark = int(installed.database.value("SELECT value FROM event_counter"))
                eventually(lambda mark=mark: int(installed.database.value("SELECT relayed FROM installation")) >= mark, 15, "a relay that goes on")
        self.assertGreater(crowd.writes, rounds * 10)
        self.starts(client, self.clusters[0], "afterwards", seconds=10)
        self.settled(client, crowd)
        print(f"{rounds} kills, {crowd.writes} acknowledged writes", flush=True)


class LostRedis(Faults):
    def test_flushed_away_empty_old_and_frozen(self):
        client = self.shape()
        installed = self.installed
        for number in range(10):
            installed.redis.cli("FLUSHALL")
            self.starts(client, self.clusters[number % 3], f"flushed-{number}", seconds=AT_ONCE)
        with self.crowd(size=2) as crowd:
            for number, comes_back in enumerate(("empty", "as it was", "as it was long ago")):
                if comes_back == "as it was":
                    installed.redis.remember()
                installed.redis.stop("immediate")
                self.starts(client, self.clusters[number], f"without-{number}", seconds=AT_ONCE)
                written = crowd.writes
                eventually(lambda: crowd.writes > written + 20, 20, "traffic without Redis")
                installed.redis.start()
                self.starts(client, self.clusters[number], f"back-{number}", seconds=AT_ONCE)
            thaw = installed.redis.freeze()
            self.starts(client, self.clusters[0], "frozen", seconds=AT_ONCE)
            written = crowd.writes
            eventually(lambda: crowd.writes > written + 20, 20, "traffic while Redis does not answer")
            thaw()
            self.starts(client, self.clusters[0], "thawed", seconds=AT_ONCE)
        installed.redis.forget()
        self.assertEqual(crowd.total("refused"), 0, "nobody may notice that Redis is away")
        eventually(lambda: not list(installed.queue_differences(self.clusters)), 20, "queues as in SQL")
        self.settled(client, crowd)

    def test_doctor_repairs_it(self):
        client = self.shape(clusters=2)
        installed = self.installed
        for number in range(12):  # eight fit, two of each queue wait
            client.must("POST", "/api/v1/deployments", {
                "cluster_id": self.clusters[0], "name": f"d{number}", "resources": {"cpu": 1, "memory": "1MiB"},
                "priority": "high" if number < 10 else "low", "simulate": {"duration": "1h"}})
        eventually(lambda: [len(installed.redis.waiting(self.clusters[0], p)) for p in ("high", "low")] == [2, 2], 10, "four that wait")
        for part in installed.parts:
            self.assertEqual(part.terminate(), 0)
        sound = installed.doctor()
        self.assertEqual([finding for finding in sound if finding["verdict"] == "broken"], [])
        keys = [f"berth:{{{self.clusters[0]}}}:{part}" for part in ("high", "low")]
        damages = [("FLUSHALL",), ("DEL", keys[0]), ("ZADD", keys[1], "999", "dep_00000000000000000000000001"), ("ZADD", keys[0], "1", "nonsense"),
                   ("HSET", f"berth:{{{self.clusters[0]}}}:state", "seq", "999999999"), ("SET", keys[0], "no queue at all")]
        for damage in damages:
            with self.subTest(damage=damage):
                installed.redis.cli(*damage)
                self.assertNotEqual(installed.doctor(), sound, "doctor does not see it")
                installed.doctor("--repair")
                self.assertEqual(installed.doctor(), sound)
                self.assertEqual(list(installed.queue_differences(self.clusters)), [])


class DatabaseAway(Faults):
    def test_requests_say_so_and_nothing_is_lost(self):
        client = self.shape()
        installed = self.installed
        stick = installed.client(installed.apis[0])
        with self.crowd(size=4) as crowd:
            for number, how in enumerate(["fast", "immediate", "kill", "immediate"]):
                before = crowd.writes
                eventually(lambda before=before: crowd.writes > before + 20, 30, "traffic")
                installed.database.kill() if how == "kill" else installed.database.stop(how)
                demand = {"cluster_id": self.clusters[0], "name": f"refused-{number}", "resources": {"cpu": 1, "memory": "1MiB"},
                          "simulate": {"duration": "1s"}}
                for method, path, body in (("GET", "/api/v1/deployments", None), ("GET", "/api/v1/auth/me", None),
                                           ("POST", "/api/v1/deployments", demand)):
                    status, answer = stick.call(method, path, body, timeout=20)
                    self.assertEqual((status, answer["code"]), (503, "storage_unavailable"), f"{method} {path} with the database away ({how})")
                    self.assertGreaterEqual(int(stick.headers["Retry-After"]), 1)
                for part in installed.parts:
                    self.assertEqual(Client(part).call("GET", "/healthz")[0], 200, "restarting it would help nobody")
                    self.assertEqual(Client(part).call("GET", "/readyz")[0], 503)
                self.assertEqual(installed.died(), [])
                installed.database.start()
                for part in installed.parts:
                    eventually(part.ready, 20, f"readiness of {part.name}")
                self.starts(client, self.clusters[number % 3], f"after-{number}", seconds=15)
                self.assertEqual(installed.objections()[:10], [])
        self.assertGreater(crowd.total("refused") + crowd.total("repeated"), 0)
        names = {d["name"] for d in snapshot(installed.database)["deployments"]}
        self.assertFalse(names & {f"refused-{n}" for n in range(4)}, "it was refused, and it is there")
        self.settled(client, crowd)


class ComingAndGoing(Faults):
    def test_schedulers_join_and_leave(self):
        client = self.shape(clusters=7, apis=2, schedulers=1, lease="20s")
        installed = self.installed
        first = installed.schedulers[0]
        eventually(lambda: installed.counts() == {first.address: 7}, 20, "everything with the only one")
        with self.crowd() as crowd:
            for wanted in ([3, 4], [2, 2, 3]):
                installed.add_scheduler()
                eventually(lambda wanted=wanted: sorted(installed.counts().values()) == wanted and installed.spread(), 40,
                           f"clusters spread as {wanted}")
            # Its lease would last 20 s; who leaves in order gives up what it has.
            leaving = installed.schedulers[1]
            before = {c for c, (address, _) in installed.holders().items() if address == leaving.address}
            self.assertEqual(leaving.terminate(), 0)
            eventually(lambda: all(installed.holders()[c][0] not in ("", leaving.address) for c in before), 10, "new holders at once")
            eventually(lambda: sorted(installed.counts().values()) == [3, 4], 40, "clusters spread as [3, 4]")
            for cluster in self.clusters:
                self.starts(client, cluster, f"left-{cluster[-6:]}", seconds=10)
            # An API leaves: its requests in flight are answered, so nobody who asks the others notices.
            self.assertEqual(installed.apis[1].terminate(), 0)
            installed.apis[1].start()
        self.settled(client, crowd)

    def test_a_killed_one_is_replaced_within_its_lease(self):
        client = self.shape(clusters=4, apis=1, schedulers=2, lease="1s")
        installed = self.installed
        for number in range(3):
            eventually(installed.spread, 20, "clusters that are spread")
            victim = installed.schedulers[number % 2]
            cluster = next(c for c in self.clusters if installed.holders()[id_hex(c)][0] == victim.address)
            victim.kill()
            self.starts(client, cluster, f"orphan-{number}", seconds=10)
            victim.start()
        self.settled(client)


if __name__ == "__main__":
    main()
