#!/usr/bin/python3
"""Several replicas of one deployment as real processes: they start together, know who they are, serve in turn, end
together when one of them fails, and are found again after the server was killed."""

import collections
import http.client
import os
import signal

from harness import PASSWORD, Client, SystemTest, main, wait_until

SERVES = r'''
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words): pass
    def do_GET(self):
        body = f"{os.environ['BERTH_REPLICA']} {os.getpid()}".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''
# The second one fails when it is told so; the others end when they may, after they were asked to.
FAILS = r'''
import os, signal, sys, time
folder, replica = sys.argv[1], os.environ["BERTH_REPLICA"]
def asked(*_):
    print("asked to end", flush=True)
    while not os.path.exists(folder + "/may-end"): time.sleep(0.01)
    sys.exit(0)
signal.signal(signal.SIGTERM, asked)
print("begins", flush=True)
while replica != "1" or not os.path.exists(folder + "/fail"): time.sleep(0.01)
sys.exit(3)
'''


class Gang(SystemTest):
    def setUp(self):
        super().setUp()
        self.running = self.server()
        self.running.start()
        self.login(self.running)
        self.root = self.client()
        self.addCleanup(self.empty, self.root)
        self.root.cluster("here", kind="process", resources={"cpu": 4, "memory": "2GiB"})

    def client(self):
        client = Client(self.running)
        client.token = client.must("POST", "/api/v1/auth/login", {"username": "root", "password": PASSWORD})["access_token"]
        client.organization = client.must("GET", "/api/v1/organizations")["items"][0]["id"]
        return client

    def script(self, name, text):
        path = self.folder / name
        path.write_text(text)
        os.chmod(path, 0o644)
        return ["/usr/bin/python3", str(path)]

    def deploy(self, name, *words, **more):
        return self.berth("deploy", name, "--cpu", "0.2", "--memory", "64MiB", "--replicas", "3", *words, **more)

    def show(self, name):
        return self.root.must("GET", f"/api/v1/deployments?name={name}")["items"][0]

    def log(self, name, replica):
        return self.berth("logs", name, "--replica", str(replica))[0]

    def restart(self):
        self.running.kill()
        self.running.start()
        self.root.reset()

    def doctor(self):
        self.berth("doctor", "--data-dir", str(self.running.data))

    def replicas_that_answer(self, requests):
        """Who has answered how often, and under which process number."""
        path = self.show("model")["endpoint"]
        counts, pids = collections.Counter(), {}
        for _ in range(requests):
            connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=20)
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.root.token}"})
            reply = connection.getresponse()
            body = reply.read().decode()
            self.assertEqual(reply.status, 200, body)
            connection.close()
            replica, pid = body.split()
            counts[replica] += 1
            pids[replica] = int(pid)
        return counts, pids

    def test_each_knows_who_it_is(self):
        self.deploy("ring", "--kind", "job", "--wait", "--", "sh", "-c", "echo I am $BERTH_REPLICA of $BERTH_REPLICAS")
        for replica in range(3):
            self.assertEqual(self.log("ring", replica), f"I am {replica} of 3\n")
        self.berth("logs", "ring", "--replica", "3", code=None)
        shown, _ = self.berth("get", "ring")
        self.assertIn("3 x 0.2 cpu, 64MiB", shown)
        self.assertEqual(sum(" exited " in line for line in shown.splitlines()), 3, shown)
        listed, _ = self.berth("ps", "--all")
        self.assertIn("3 x 0.2 cpu", listed)
        plan, _ = self.berth("plan", "submit cpu=1 memory=64MiB replicas=5", "submit cpu=1 memory=64MiB replicas=2")
        self.assertIn("does nothing: The nodes could never hold more than 4 of the 5 replicas.", plan)
        self.assertIn("starts (of 2) on here, here", plan.replace(self.show("ring")["cluster_id"], "here").replace(self.node(), "here"))
        self.doctor()

    def node(self):
        return self.root.must("GET", "/api/v1/clusters")["items"][0]["nodes"][0]["name"]

    def test_who_is_done_early_keeps_its_place(self):
        wait = f'[ "$BERTH_REPLICA" = 0 ] || while [ ! -e {self.folder}/may-end ]; do sleep 0.01; done'
        self.deploy("early", "--kind", "job", "--", "sh", "-c", wait)
        wait_until(lambda: [p["state"] for p in self.show("early")["placements"]] == ["exited", "running", "running"], what="the end of the first")
        self.assertEqual((self.show("early")["state"], self.reserved()), ("running", 0.6))
        (self.folder / "may-end").touch()
        wait_until(lambda: self.show("early")["state"] == "succeeded", what="its success")
        self.assertEqual(self.reserved(), 0)

    def reserved(self):
        cluster = self.show("early")["cluster_id"]
        return self.root.must("GET", f"/api/v1/clusters/{cluster}/status")["reserved"]["cpu"]

    def test_requests_go_to_each_in_turn(self):
        self.deploy("model", "--port", "8080", "--wait", "--", *self.script("model.py", SERVES))
        counts, _ = self.replicas_that_answer(9)
        self.assertEqual(counts, {"0": 3, "1": 3, "2": 3})

    def test_they_outlive_the_server_and_end_together(self):
        self.deploy("model", "--port", "8080", "--max-attempts", "3", "--wait", "--", *self.script("model.py", SERVES))
        _, before = self.replicas_that_answer(3)
        self.restart()
        counts, after = self.replicas_that_answer(3)
        self.assertEqual((after, sum(counts.values())), (before, 3), "they were not started anew")
        self.assertEqual(self.show("model")["attempt"], 1)
        # One of them dies while nobody looks.
        self.running.kill()
        os.kill(before["2"], signal.SIGKILL)
        self.running.start()
        self.root.reset()
        wait_until(lambda: self.show("model")["attempt"] == 2 and self.show("model")["state"] == "running", 30, "a second attempt")
        _, anew = self.replicas_that_answer(3)
        self.assertFalse(set(anew.values()) & set(before.values()), "the others have ended with it")
        for pid in before.values():
            wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the end of a replica of the first attempt")
        self.doctor()

    def test_a_failure_ends_the_others_also_over_a_restart(self):
        self.deploy("train", "--kind", "job", "--", *self.script("train.py", FAILS), str(self.folder))
        wait_until(lambda: self.show("train")["state"] == "running", what="that it runs")
        for replica in range(3):
            wait_until(lambda: self.log("train", replica) == "begins\n", what="that each has begun")
        (self.folder / "fail").touch()
        wait_until(lambda: all(self.log("train", r) == "begins\nasked to end\n" for r in (0, 2)), what="that the others are asked")
        shown = self.show("train")
        self.assertEqual((shown["state"], shown["message"]), ("running", "Replica 1 ended with exit status 3; the others are being stopped."))
        self.assertEqual([p["state"] for p in shown["placements"]], ["running", "exited", "running"])
        self.restart()
        self.assertEqual(self.show("train")["state"], "running")
        (self.folder / "may-end").touch()
        wait_until(lambda: self.show("train")["state"] == "failed", what="its end")
        shown = self.show("train")
        self.assertEqual((shown["exit_code"], shown["message"]), (3, "Replica 1 ended with exit status 3."))
        self.assertEqual([p["state"] for p in shown["placements"]], ["gone", "exited", "gone"])
        self.doctor()


if __name__ == "__main__":
    main()
