#!/usr/bin/python3
"""A full disk, for real: the database lies on a file system of a few megabytes. Writes are refused with
storage_full and change nothing, everything else still answers, and it goes on as soon as there is space.

Needs root, for mounting.
"""

import os
import subprocess

from harness import Client, main
from ledger_check import snapshot
from scaled_harness import ScaledTest, eventually, run


class FullDisk(ScaledTest):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.fail("this test mounts small file systems: run it as root")

    def mount(self, name, megabytes):
        place = self.folder / name
        place.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "tmpfs", place)
        self.addCleanup(subprocess.run, ["umount", "-l", str(place)], capture_output=True)
        return place

    def fill(self, place, leave=256 << 10):
        """Takes all that is left but a little, which the first submissions use up; answers the file to remove."""
        ballast = place / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError:
                pass
            try:
                while True:
                    file.write(b"x")
            except OSError:
                file.truncate(file.tell() - leave)
        return ballast

    def submit(self, client, name, duration="1h"):
        return client.call("POST", "/api/v1/deployments", {
            "cluster_id": self.cluster, "name": name, "resources": {"cpu": 0.01, "memory": "1MiB"}, "labels": {"padding": "x" * 60},
            "simulate": {"duration": duration}})

    def until_refused(self, client, prefix):
        """Submits until the disk says no; answers what was accepted, {id: name}, and what was refused."""
        accepted = {}
        for number in range(20_000):
            status, answer = self.submit(client, f"{prefix}-{number}")
            if status == 201:
                accepted[answer["id"]] = answer["name"]
                continue
            self.assertEqual((status, answer["code"]), (503, "storage_full"), answer)
            self.assertIn("disk is full", answer["detail"])
            self.assertGreater(number, 0, "nothing was accepted on the way there")
            return accepted, f"{prefix}-{number}"
        self.fail("the disk never became full")

    def full(self, client, ballast, parts):
        """The disk has `ballast` on it; answers everything that was accepted."""
        accepted, refused = self.until_refused(client, "full")
        for part in parts:
            self.assertEqual(Client(part).call("GET", "/healthz")[0], 200)
        one = next(iter(accepted))
        self.assertEqual(client.call("GET", f"/api/v1/deployments/{one}")[0], 200, "reading needs no space")
        self.assertEqual(client.call("GET", f"/api/v1/clusters/{self.cluster}/status")[0], 200)
        self.assertEqual(client.must("GET", f"/api/v1/deployments?name={refused}")["items"], [], "it was refused, and it is there")
        status, answer = client.call("POST", f"/api/v1/deployments/{one}/stop")
        self.assertIn((status, answer.get("code")), ((200, None), (503, "storage_full")))
        ballast.unlink()

        def goes_on():
            status, answer = self.submit(client, refused)
            self.assertIn((status, answer.get("code")), ((201, None), (503, "storage_full"), (503, "storage_unavailable")))
            return status == 201 and answer["id"]

        again = eventually(goes_on, 20, "a submission once there is space")
        client.wait_state(again, "running", seconds=20)
        client.must("POST", f"/api/v1/deployments/{one}/stop")
        client.wait_state(one, "stopped", "cancelled")
        there = {d["id"] for d in client.pages(f"/api/v1/deployments?cluster_id={self.cluster}")}
        self.assertLessEqual(set(accepted), there, "an acknowledged submission is gone")
        return accepted

    def test_the_embedded_shape(self):
        self.mount("data", 8)
        server = self.server()
        server.start()
        root = server.set_up()
        self.cluster = root.cluster("c", resources={"cpu": 64, "memory": "64GiB"})
        self.assertEqual(self.submit(root, "before")[0], 201)
        accepted = self.full(root, self.fill(server.data), [server])
        _, metrics = root.call("GET", "/metrics")
        self.assertIn(b"\nberth_accounting_drift 0\n", metrics)
        self.assertEqual(server.terminate(), 0)
        self.assertNotIn("BROKEN", self.berth("doctor", "--data-dir", str(server.data))[0])
        server.start()
        root.reset()
        self.assertLessEqual(set(accepted), {d["id"] for d in root.pages("/api/v1/deployments")})

    def test_the_embedded_shape_killed_while_full(self):
        self.mount("data", 8)
        server = self.server()
        server.start()
        root = server.set_up()
        self.cluster = root.cluster("c", resources={"cpu": 64, "memory": "64GiB"})
        ballast = self.fill(server.data)
        accepted, _ = self.until_refused(root, "full")
        server.kill()
        ballast.unlink()
        server.start()
        root.reset()
        self.assertLessEqual(set(accepted), {d["id"] for d in root.pages("/api/v1/deployments")})
        self.assertEqual(self.submit(root, "afterwards")[0], 201)

    def test_postgresql(self):
        """Its tables are on the small file system, its journal is not: a full journal stops PostgreSQL itself."""
        small = self.mount("small", 96)
        installed = self.installation(apis=2, schedulers=2)
        client = installed.client()
        self.cluster = client.cluster("c", resources={"cpu": 64, "memory": "64GiB"})
        self.assertEqual(self.submit(client, "before")[0], 201)
        installed.database.stop("fast")
        tables, moved = installed.database.folder / "data" / "base", small / "base"
        run("cp", "-a", tables, moved)
        run("rm", "-r", tables)
        os.symlink(moved, tables)
        run("chown", "-h", "--reference", installed.database.folder, tables)
        installed.database.start()
        for part in installed.parts:
            eventually(part.ready, 30, f"readiness of {part.name}")
        accepted = self.full(client, self.fill(small), installed.parts)
        self.sound(installed)
        self.assertLessEqual(set(accepted.values()), {d["name"] for d in snapshot(installed.database)["deployments"]})


if __name__ == "__main__":
    main()
