"""An installation of several processes: PostgreSQL, Redis, some `berth api` and some `berth scheduler`.

Each part can be killed, frozen and started again by its handle. Everything lives in one temporary folder and
on the loopback interface, and is stopped by its process id, also when a test fails.
"""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.parse

from harness import BERTH, PASSWORD, Client, Process, SystemTest, wait_until
from ledger_check import id_hex, objections, snapshot

DEV = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts" / "dev"


def run(*words, stdin=None, timeout=120):
    done = subprocess.run([str(w) for w in words], input=stdin, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(one) for one in found.split()]


def eventually(condition, seconds, what):
    """`wait_until` for conditions that cost a process or a query each time."""
    return wait_until(condition, seconds, what, pause=0.05)


def alive(pid):
    """A zombie whose parent does not look is not alive."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_at_once(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    eventually(lambda: not any(alive(pid) for pid in pids), 20, f"the end of {pids}")


class Service:
    """What a script of scripts/dev starts in a folder."""

    script = ""
    watched_once = True  # whether the script's watcher outlives a crash

    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / self.name
        self.url = None

    @property
    def name(self):
        return self.script.removesuffix(".sh")

    def start(self):
        # A watcher stops it should this process vanish.
        watched = [] if self.url and self.watched_once else [os.getpid()]
        url = run(DEV / self.script, "start", self.folder, *watched).strip()
        assert self.url in (None, url), f"{self.name} came back as {url}, it was {self.url}"
        self.url = url
        return self

    def stop(self, *how):
        run(DEV / self.script, "stop", self.folder, *how)

    def close(self):
        if self.url is not None:
            subprocess.run([str(DEV / self.script), "stop", str(self.folder), "immediate"], capture_output=True, timeout=60)


class Database(Service):
    script = "postgres.sh"

    def query(self, *statements, timeout=60):
        """Each statement in turn; answers what they print, a list of lines."""
        words = [word for statement in statements for word in ("-c", statement)]
        return run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url, *words, timeout=timeout).splitlines()

    def value(self, statement):
        lines = self.query(statement)
        return lines[0] if lines else None

    def rows(self, queries):
        """All of them in one frozen view: {name: [row by column name]}. Ids come as hexadecimal."""
        reads = [f"SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]') FROM ({text}) t" for text in queries.values()]
        lines = self.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", *reads, "COMMIT")
        return dict(zip(queries, (json.loads(line, object_hook=_plain) for line in lines), strict=True))

    def kill(self):
        """As a crash of the machine does: all of its processes at once."""
        mark = self.folder / "data" / "postmaster.pid"
        first = int(mark.read_text().split()[0])
        os.kill(first, signal.SIGSTOP)  # so that it makes no more of them
        kill_at_once([first, *children(first)])
        # A zombie that nobody has looked at yet would count as a server that runs.
        for left in [mark, *self.folder.glob(".s.PGSQL.*.lock")]:
            left.unlink()


def _plain(row):
    return {key: value.removeprefix("\\x") if isinstance(value, str) else value for key, value in row.items()}


class Redis(Service):
    script = "redis.sh"
    watched_once = False

    def cli(self, *words):
        where = urllib.parse.urlsplit(self.url)
        at = ["-s", where.path] if where.scheme == "redis+unix" else ["-u", self.url]
        return run("redis-cli", "--no-auth-warning", *at, *words).splitlines()

    def pid(self):
        return int(next(line for line in self.cli("INFO", "server") if line.startswith("process_id:")).partition(":")[2])

    def kill(self):
        kill_at_once([self.pid()])

    def freeze(self):
        """It takes connections and never answers. Answers what wakes it."""
        pid = self.pid()
        os.kill(pid, signal.SIGSTOP)
        return lambda: os.kill(pid, signal.SIGCONT)

    def remember(self):
        """Every later start comes back to what is there now, until `forget`."""
        self.cli("SAVE")

    def forget(self):
        (self.folder / "dump.rdb").unlink()

    def waiting(self, cluster, priority):
        """[(deployment, admission number)] of one queue, in order."""
        flat = self.cli("ZRANGE", f"berth:{{{cluster}}}:{priority}", "0", "-1", "WITHSCORES")
        return [(flat[i], int(flat[i + 1])) for i in range(0, len(flat) - 1, 2)]


class Part(Process):
    """A `berth api` or `berth scheduler` of an installation."""

    def __init__(self, installation, role, number, *flags):
        words = [role, "--database", installation.database.url, "--queue", installation.redis.url, *flags]
        super().__init__(installation.folder, f"{role}-{number}", words, env={"BERTH_RATE_LIMIT": "off", "BERTH_WORKLOAD_USERS": "same"})
        self.role = role
        self.ended_on_purpose = True  # until it is started

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def spawn(self):
        super().spawn()
        self.ended_on_purpose = False

    def kill(self):
        self.ended_on_purpose = True
        super().kill()

    def terminate(self):
        self.ended_on_purpose = True
        return super().terminate()

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)


class RoundRobin(Client):
    """A client that asks another API each time. Not for several threads at once."""

    def __init__(self, apis, token=None, organization=None):
        super().__init__(apis[0], token, organization)
        self.apis = list(apis)
        self.each = [Client(api, token, organization) for api in apis]
        self.turn = 0

    def reset(self):
        for one in self.each:
            one.reset()

    def call(self, method, path, body=None, headers=None, timeout=30):
        self.turn += 1
        one = self.each[self.turn % len(self.each)]
        one.token = self.token
        answer = one.call(method, path, body, headers, timeout)
        self.headers = one.headers
        return answer


class Installation:
    def __init__(self, folder, apis=2, schedulers=2, lease="2s"):
        self.folder = pathlib.Path(folder)
        self.database, self.redis = Database(folder), Redis(folder)
        self.wanted, self.lease = (apis, schedulers), lease
        self.apis, self.schedulers = [], []
        self.token = self.organization = None

    @property
    def parts(self):
        return [*self.apis, *self.schedulers]

    def start(self):
        self.database.start()
        self.redis.start()
        self.berth("admin", "migrate", "up")
        self.berth("admin", "create-user", "--username", "root", "--email", "root@example.org", "--password-file", "-", stdin=PASSWORD + "\n")
        for _ in range(self.wanted[0]):
            self.add_api()
        for _ in range(self.wanted[1]):
            self.add_scheduler()
        client = Client(self.apis[0])
        self.token = client.must("POST", "/api/v1/auth/login", {"username": "root", "password": PASSWORD})["access_token"]
        client.token = self.token
        self.organization = client.must("POST", "/api/v1/organizations", {"name": "lab"})["id"]
        return self

    def berth(self, *words, code=0, stdin=None):
        """A command of the operator on this installation; answers (stdout, stderr)."""
        done = subprocess.run([BERTH, *words, "--database", self.database.url], input=stdin, capture_output=True, text=True, timeout=120,
                              env={"PATH": os.environ["PATH"], "HOME": str(self.folder)})
        if code is not None and done.returncode != code:
            raise AssertionError(f"berth {' '.join(words)}: exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
        return done.stdout, done.stderr

    def doctor(self, *flags):
        """The findings that are not ok."""
        out, _ = self.berth("doctor", "--queue", self.redis.url, "-o", "json", *flags, code=None)
        return [finding for finding in json.loads(out)["findings"] if finding["verdict"] != "ok"]

    def broken(self, *flags):
        return [finding for finding in self.doctor(*flags) if finding["verdict"] == "broken"]

    def add_api(self):
        self.apis.append(Part(self, "api", len(self.apis) + 1))
        return self.apis[-1].start()

    def add_scheduler(self):
        flags = ["--data-dir", str(self.folder / "runtime"), "--lease", self.lease]
        self.schedulers.append(Part(self, "scheduler", len(self.schedulers) + 1, *flags))
        return self.schedulers[-1].start()

    def client(self, api=None):
        """Sticks to one API, or goes round all of them."""
        if api is not None:
            return Client(api, self.token, self.organization)
        return RoundRobin(self.apis, self.token, self.organization)

    # --- what the database says -----------------------------------------------------------------------
    def objections(self):
        return objections(snapshot(self.database))

    def holders(self):
        """{cluster, hexadecimal: (address of the living scheduler that decides about it or "", epoch)}"""
        return {row["cluster"]: (row["address"], row["epoch"]) for row in self.database.rows({"leases": """
            SELECT encode(l.cluster_id, 'hex') AS cluster, coalesce(s.address, '') AS address, l.epoch
            FROM leases l LEFT JOIN schedulers s ON s.id = l.holder
              AND s.deadline > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"""})["leases"]}

    def counts(self):
        """How many clusters each of our schedulers decides about, by address; "" for nobody."""
        counts = {}
        for address, _ in self.holders().values():
            counts[address] = counts.get(address, 0) + 1
        return counts

    def spread(self):
        """Whether each cluster has somebody, and no living scheduler more than one cluster more than another."""
        counts, living = self.counts(), [s.address for s in self.schedulers if not s.ended_on_purpose]
        numbers = [counts.get(address, 0) for address in living]
        return set(counts) <= set(living) and max(numbers) - min(numbers) <= 1

    def scheduler_of(self, cluster):
        address = self.holders()[id_hex(cluster)][0]
        return next((s for s in self.schedulers if s.address == address), None)

    def relayed_all(self):
        relayed, last = self.database.value("SELECT relayed || ' ' || value FROM installation, event_counter").split()
        return relayed == last

    def queue_differences(self, clusters):
        """What Redis says about who waits, against SQL."""
        rows = self.database.rows({"waiting": "SELECT encode(cluster_id, 'hex') AS cluster, encode(id, 'hex') AS id, priority, ord "
                                   "FROM deployments WHERE state = 'queued' AND retry_at IS NULL"})["waiting"]
        for cluster in clusters:
            for priority in ("high", "low"):
                wanted = sorted((r["ord"], r["id"]) for r in rows if (r["cluster"], r["priority"]) == (id_hex(cluster), priority))
                found = [(score, id_hex(member)) for member, score in self.redis.waiting(cluster, priority)]
                if wanted != found:
                    yield f"{cluster} {priority}: Redis has {found}, SQL {wanted}"

    # --- the end --------------------------------------------------------------------------------------
    def died(self):
        """Parts that ended though nobody wanted them to."""
        return [f"{p.name}: exit {p.process.returncode}: {p.log.read_text()[-1000:]}" for p in self.parts if not p.ended_on_purpose and not p.runs()]

    def close(self):
        for part in self.parts:
            part.close()
        self.redis.close()
        self.database.close()


class ScaledTest(SystemTest):
    """A test of an installation; at its end every process must have survived, and the ledger must be right."""

    def installation(self, **shape):
        made = Installation(self.folder, **shape)
        self.addCleanup(made.close)
        self.addCleanup(self.show_log_ends, made)
        return made.start()

    def show_log_ends(self, installation):
        if self._outcome.result.failures or self._outcome.result.errors:
            for part in installation.parts:
                if part.log.exists():
                    print(f"--- {part.name}\n" + "\n".join(part.log.read_text().splitlines()[-15:]), flush=True)

    def sound(self, installation):
        self.assertEqual(installation.died(), [])
        world = snapshot(installation.database)
        self.assertEqual(objections(world)[:10], [])
        return world

    def starts(self, client, cluster, name, seconds=5, **more):
        """A submission is accepted, and runs within the given time, which is generous."""
        body = {"cluster_id": cluster, "name": name, "resources": {"cpu": 0.01, "memory": "1MiB"}, "priority": "high", "simulate": {"duration": "1h"}}
        body.update(more)
        client.reset()
        made = client.must("POST", "/api/v1/deployments", body)["id"]
        client.wait_state(made, "running", seconds=seconds)
        return made


def patience(seconds):
    """A deadline: iterates until the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
