#!/usr/bin/python3
"""The stable endpoint in front of a real process: streams both ways, hides credentials, says why it is not
there, and points at the next attempt when one has died."""

import hashlib
import http.client
import json
import os
import time

from harness import SystemTest, main, wait_until

MODEL = r'''
import hashlib, http.server, json, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *words): pass
    def reply(self, document):
        body = json.dumps(document).encode()
        self.send_response(200); self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        if self.path == "/ready": self.reply({"pid": os.getpid()})
        elif self.path.startswith("/headers"): self.reply({"headers": dict(self.headers), "path": self.path})
        elif self.path == "/die": os._exit(7)
        elif self.path == "/stream":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            for piece in (b"one", b"two", b"three"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece)); self.wfile.flush(); time.sleep(0.3)
            self.wfile.write(b"0\r\n\r\n")
    def do_POST(self):
        digest, size = hashlib.sha256(), 0
        if self.headers.get("Transfer-Encoding") == "chunked":
            while True:
                n = int(self.rfile.readline().strip(), 16)
                data = self.rfile.read(n); self.rfile.readline()
                if n == 0: break
                digest.update(data); size += n
        else:
            left = int(self.headers["Content-Length"])
            while left > 0:
                data = self.rfile.read(min(left, 65536)); left -= len(data)
                digest.update(data); size += len(data)
        self.reply({"size": size, "sha256": digest.hexdigest()})
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


class Endpoint(SystemTest):
    def setUp(self):
        super().setUp()
        self.running = self.server()
        self.running.start()
        self.root = self.running.set_up()
        self.addCleanup(self.empty, self.root)
        self.cluster = self.root.cluster("here", kind="process", resources={"cpu": 2, "memory": "1GiB"})
        script = self.folder / "model.py"
        script.write_text(MODEL)
        os.chmod(script, 0o644)
        self.command = ["/usr/bin/python3", str(script)]

    def deploy(self, name, **more):
        body = {"cluster_id": self.cluster, "name": name, "command": self.command, "port": 8080, "resources": {"cpu": 1, "memory": "64MiB"},
                "readiness": {"path": "/ready"}, "stop_grace": "1s"}
        body.update(more)
        return self.root.must("POST", "/api/v1/deployments", body)["id"]

    def request(self, method, path, body=None, headers=None, token=True):
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=20)
        self.addCleanup(connection.close)
        head = dict(headers or {})
        if token:
            head["Authorization"] = f"Bearer {self.root.token}"
        connection.request(method, path, body, head, encode_chunked=head.get("Transfer-Encoding") == "chunked")
        return connection.getresponse()

    def test_streams_both_ways(self):
        self.root.wait_state(self.deploy("model"), "running")
        reply = self.request("GET", "/serve/lab/model/stream")
        began, arrivals = time.monotonic(), []
        while piece := reply.read1(100):
            arrivals.append((piece, time.monotonic() - began))
        self.assertEqual(b"".join(piece for piece, _ in arrivals), b"onetwothree")
        self.assertGreater(arrivals[-1][1] - arrivals[0][1], 0.2, "the pieces came all at once: somebody held them back")
        blob = os.urandom(3 << 20)
        for headers in ({}, {"Transfer-Encoding": "chunked"}):
            pieces = (blob[i:i + 100_000] for i in range(0, len(blob), 100_000)) if headers else blob
            answer = json.loads(self.request("POST", "/serve/lab/model/upload", pieces, headers).read())
            self.assertEqual(answer, {"size": len(blob), "sha256": hashlib.sha256(blob).hexdigest()})

    def test_the_model_sees_no_credentials_and_knows_where_it_stands(self):
        self.root.wait_state(self.deploy("model"), "running")
        seen = json.loads(self.request("GET", "/serve/lab/model/headers?a=1&b=%2F..%2F", headers={
            "Cookie": "session=secret", "X-Forwarded-For": "6.6.6.6", "Connection": "close, X-Private", "X-Private": "1", "X-Mine": "yes"}).read())
        names = {name.lower(): value for name, value in seen["headers"].items()}
        for hidden in ("authorization", "cookie", "x-private"):
            self.assertNotIn(hidden, names)
        self.assertNotIn(self.root.token, json.dumps(seen))
        self.assertEqual(seen["path"], "/headers?a=1&b=%2F..%2F", "the rest of the path arrives as it was sent")
        self.assertEqual((names["x-forwarded-for"], names["x-forwarded-prefix"], names["x-mine"]), ("127.0.0.1", "/serve/lab/model", "yes"))

    def test_who_may_use_it(self):
        self.root.wait_state(self.deploy("closed"), "running")
        self.root.wait_state(self.deploy("open", access="public"), "running")
        self.assertEqual(self.request("GET", "/serve/lab/closed/ready", token=False).status, 401)
        self.assertEqual(self.request("GET", "/serve/lab/open/ready", token=False).status, 200)
        unknown = self.request("GET", "/serve/lab/nothing/ready", token=False)
        self.assertIn(unknown.status, (401, 404))

    def test_while_it_waits_it_says_why_and_when_to_ask_again(self):
        self.root.wait_state(self.deploy("first", resources={"cpu": 2, "memory": "64MiB"}), "running")
        waiting = self.deploy("second", resources={"cpu": 2, "memory": "64MiB"})
        reply = self.request("GET", "/serve/lab/second/ready")
        problem = json.loads(reply.read())
        self.assertEqual((reply.status, problem["code"], reply.headers["Content-Type"]), (503, "not_ready", "application/problem+json"))
        self.assertGreaterEqual(int(reply.headers["Retry-After"]), 1)
        self.assertIn("cpu 2 more on node", problem["detail"])
        self.root.must("POST", f"/api/v1/deployments/{waiting}/stop")
        reply = self.request("GET", "/serve/lab/second/ready")
        self.assertEqual((reply.status, json.loads(reply.read())["code"]), (409, "not_running"))
        no_port = self.root.must("POST", "/api/v1/deployments", {"cluster_id": self.cluster, "name": "portless", "command": ["sleep", "60"],
                                                                 "resources": {"cpu": 0.1, "memory": "8MiB"}})
        self.assertEqual(json.loads(self.request("GET", "/serve/lab/portless/").read())["code"], "no_endpoint")
        del no_port

    def test_a_model_that_dies_comes_back_behind_the_same_address(self):
        deployment = self.deploy("model", restart={"max_attempts": 3, "backoff": "100ms"})
        self.root.wait_state(deployment, "running")
        first = json.loads(self.request("GET", "/serve/lab/model/ready").read())["pid"]
        reply = self.request("GET", "/serve/lab/model/die")
        self.assertEqual((reply.status, json.loads(reply.read())["code"]), (502, "endpoint_failed"))

        def another():
            reply = self.request("GET", "/serve/lab/model/ready")
            body = json.loads(reply.read())
            self.assertIn(reply.status, (200, 502, 503))
            return reply.status == 200 and body["pid"] != first

        wait_until(another, 20, "the second attempt")
        detail = self.root.must("GET", f"/api/v1/deployments/{deployment}")
        self.assertEqual(detail["attempt"], 2)


if __name__ == "__main__":
    main()
