"""A real server, the real command line, and a plain HTTP client, for tests that look from outside.

Everything lives in a temporary directory and on free ports of the loopback interface; what was started
is stopped by its process id, also when a test fails.
"""

import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BERTH = os.environ.get("BERTH", "")
PASSWORD = "one quite long password 42"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, seconds=20, what="the condition", pause=0.005):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(pause)
    raise AssertionError(f"{what} did not come true within {seconds} s")


class Process:
    """One process of the binary that announces itself with a line of JSON; it can be killed and started again."""

    def __init__(self, folder, name, words, env=None):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.words = list(words)
        self.env = env
        self.port = free_port()
        self.process = None
        self.announcement = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        return self.folder / f"{self.name}.log"

    def command(self):
        return [BERTH, *self.words, "--listen", f"127.0.0.1:{self.port}"]

    def spawn(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                env=None if self.env is None else {**os.environ, **self.env})

    def start(self):
        """Answers once it has announced itself and says that it is ready."""
        self.spawn()
        self.await_announcement()
        wait_until(lambda: self.ready(), 30, f"readiness of {self.name}")
        return self

    def await_announcement(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"{self.name} did not start: " + self.log.read_text()[-2000:])
        self.announcement = json.loads(line)

    def ready(self):
        try:
            return Client(self).call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """As a crash does: at once, without a word."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def terminate(self):
        self.process.terminate()
        code = self.process.wait(30)
        rest = self.process.stdout.read()
        assert rest == "", f"{self.name} prints more than its announcement: {rest}"
        self.process.stdout.close()
        if code != 0:
            print(f"{self.name} ended with {code}:\n" + self.log.read_text(errors="replace")[-6000:], file=sys.stderr)
        return code

    def close(self):
        if self.runs():
            self.kill()


class Server(Process):
    """`berth serve` on a data directory of its own; it can be killed and started again on the same one."""

    def __init__(self, folder, *flags):
        self.data = pathlib.Path(folder) / "data"
        super().__init__(folder, "serve", ["serve", "--data-dir", str(self.data), "--rate-limit", "off", *flags])

    def set_up(self):
        """The first administrator, with organization `lab`. Answers a client with its token."""
        client = Client(self)
        token = (self.data / "setup-token").read_text().strip()
        status, body = client.call("POST", "/api/v1/setup", {
            "token": token, "username": "root", "email": "root@example.org", "password": PASSWORD, "organization": "lab"})
        assert status == 201, body
        client.token = body["access_token"]
        client.organization = client.must("GET", "/api/v1/organizations")["items"][0]["id"]
        return client


class Client:
    """One kept connection. Not for several threads at once."""

    def __init__(self, server, token=None, organization=None):
        self.port = server.port
        self.token = token
        self.organization = organization
        self.connection = None
        self.headers = {}  # of the latest answer

    def clone(self, server=None):
        copy = Client(server or self, self.token, self.organization)
        return copy

    def reset(self):
        """The next call opens a connection of its own: the server has been away."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def call(self, method, path, body=None, headers=None, timeout=30):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        head = dict(headers or {})
        if self.token:
            head["Authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            data = json.dumps(body)
            head["Content-Type"] = "application/json"
        try:
            self.connection.request(method, path, data, head)
            reply = self.connection.getresponse()
            raw = reply.read()
        except (OSError, http.client.HTTPException) as error:
            self.reset()
            raise OSError(str(error)) from error
        self.headers = reply.headers
        kind = reply.headers.get("Content-Type", "")
        return reply.status, json.loads(raw) if raw and "json" in kind and "jsonl" not in kind else raw

    def must(self, method, path, body=None, headers=None):
        status, answer = self.call(method, path, body, headers)
        if status >= 400:
            raise AssertionError(f"{method} {path}: {status} {answer}")
        return answer

    def pages(self, path):
        cursor = None
        while True:
            mark = "&" if "?" in path else "?"
            page = self.must("GET", f"{path}{mark}limit=200" + (f"&cursor={cursor}" if cursor else ""))
            yield from page["items"]
            cursor = page.get("next")
            if not cursor:
                return

    def cluster(self, name, kind="simulated", **more):
        body = {"organization_id": self.organization, "name": name, "runtime": {"kind": kind}}
        body.update(more)
        return self.must("POST", "/api/v1/clusters", body)["id"]

    def state(self, deployment):
        return self.must("GET", f"/api/v1/deployments/{deployment}")["state"]

    def wait_state(self, deployment, *states, seconds=20):
        return wait_until(lambda: (s := self.state(deployment)) in states and s, seconds, f"state {'/'.join(states)} of {deployment}")


class SystemTest(unittest.TestCase):
    """A temporary directory, and what was started in it is stopped."""

    def setUp(self):
        if not BERTH:
            self.fail("set BERTH to the binary under test")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-test-"))
        os.chmod(self.folder, 0o711)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def server(self, *flags):
        server = Server(self.folder, *flags)
        self.addCleanup(server.close)
        return server

    def berth(self, *words, code=0, config="cli", stdin=None, env=None):
        """Runs the command line; answers (stdout, stderr)."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "BERTH_CONFIG": str(self.folder / config / "config.yaml")}
        environment.update(env or {})
        done = subprocess.run([BERTH, *words], input=stdin, capture_output=True, text=True, env=environment, timeout=120)
        if code is not None and done.returncode != code:
            raise AssertionError(f"berth {' '.join(words)}: exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
        return done.stdout, done.stderr

    def replay(self, client, cluster):
        """Every decision of the cluster comes out as it was recorded."""
        record = self.folder / f"{cluster}.record"
        record.write_bytes(client.must("GET", f"/api/v1/clusters/{cluster}/record"))
        out, _ = self.berth("replay", "--decisions", "--file", str(record), "-o", "json")
        report = json.loads(out)
        self.assertTrue(report["identical"])
        return report

    def empty(self, client, seconds=60):
        """Stops everything, and waits until nothing holds a place: what runs outlives its server, not its test."""
        def stopped():
            left = 0
            for state in ("queued", "starting", "running", "stopping"):
                for d in list(client.pages(f"/api/v1/deployments?state={state}")):
                    left += 1
                    if state != "stopping":
                        client.must("POST", f"/api/v1/deployments/{d['id']}/stop")
            return left == 0
        client.reset()
        wait_until(stopped, seconds, "the end of everything", pause=0.05)

    def login(self, server):
        """Sets the server up through the command line."""
        (self.folder / "password").write_text(PASSWORD + "\n")
        self.berth("setup", "--server", server.url, "--token-file", str(server.data / "setup-token"), "-u", "root",
                   "--email", "root@example.org", "--password-file", str(self.folder / "password"), "--org", "lab", "--no-cluster")


def main():
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]], warnings="ignore")
