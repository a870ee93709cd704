#!/usr/bin/python3
"""The README's first command, as a newcomer types it: it ends with a real model that answers and a queue
that explains itself, can be typed again, and stops what it started."""

import os
import pathlib
import re
import subprocess

from harness import SystemTest, free_port, main

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class RunScript(SystemTest):
    def script(self, *words):
        environment = dict(os.environ, BERTH_HOME=str(self.folder / "home"), PORT=str(self.port), HOME=str(self.folder))
        done = subprocess.run([str(ROOT / "run.sh"), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=900)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_from_nothing_to_an_answer_twice(self):
        self.port = free_port()
        self.addCleanup(lambda: subprocess.run([str(ROOT / "run.sh"), "stop"], env=dict(os.environ, BERTH_HOME=str(self.folder / "home")),
                                               capture_output=True, timeout=120))
        for _ in range(2):
            said = self.script()
            accuracy = re.search(r"360 held-out digits, \d+ right: accuracy (0\.\d+)", said)
            self.assertIsNotNone(accuracy, said)
            self.assertGreaterEqual(float(accuracy.group(1)), 0.95)
            for part in ("urgent-1: queued, WaitingForCapacity", "nightly-1  stopped", f"http://localhost:{self.port}/swagger/", "./run.sh stop"):
                self.assertIn(part, said)
            after = said[said.index("who starts next?"):]
            self.assertRegex(after, r"urgent-1 +running +high")
            self.assertRegex(after, r"nightly-3 +queued +low")
        self.assertIn("Stopped.", self.script("stop"))
        self.assertEqual(subprocess.run(["pgrep", "-f", str(self.folder)], capture_output=True, text=True).stdout, "")
        self.assertIn("Nothing runs.", self.script("stop"))


if __name__ == "__main__":
    main()
