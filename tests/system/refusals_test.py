#!/usr/bin/python3
"""What a process of the scaled-out shape refuses at its start: one sentence on stderr that says what to do, an exit
status, and nothing left behind. And the one thing that it does not need: Redis."""

import subprocess
import time

from harness import BERTH, free_port, main
from scaled_harness import Database, Installation, Redis, ScaledTest, alive, eventually


class Refusals(ScaledTest):
    def setUp(self):
        super().setUp()
        self.database, self.redis = Database(self.folder), Redis(self.folder)
        self.addCleanup(self.database.close)
        self.addCleanup(self.redis.close)

    def serve(self, role, **flags):
        flags = {"listen": f"127.0.0.1:{free_port()}", "data_dir": str(self.folder / "runtime"), **flags}
        if role == "api":
            flags.pop("data_dir")
        return [BERTH, role, *(word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", str(value)))]

    def refused(self, says, role, **flags):
        began = time.monotonic()
        done = subprocess.run(self.serve(role, **flags), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertGreater(done.returncode, 0, f"it crashed: {done.stderr}")
        self.assertEqual(done.stdout, "", "what refuses to start announces nothing")
        lines = [line for line in done.stderr.splitlines() if line.startswith("berth: ")]
        self.assertEqual(len(lines), 1, done.stderr)
        for word in says:
            self.assertIn(word, lines[0])
        self.assertNotIn("secret-password", done.stderr + done.stdout, "a password in a message")
        return time.monotonic() - began

    def test_a_database_for_one_process_only(self):
        for role in ("api", "scheduler"):
            with self.subTest(role=role):
                self.refused(["SQLite serves only one", "--database postgresql://", "'berth serve'"], role,
                             database=f"sqlite://{self.folder}/berth.db", queue="redis://127.0.0.1:1/0")
        self.assertFalse((self.folder / "berth.db").exists())

    def test_a_queue_for_one_process_only(self):
        url = self.database.start().url
        for role in ("api", "scheduler"):
            with self.subTest(role=role):
                self.refused(["those in memory are only its own", "--queue redis://", "'berth serve'"], role, database=url, queue="memory")

    def test_unknown_schemes(self):
        url = self.database.start().url
        for role in ("api", "scheduler"):
            with self.subTest(role=role):
                self.refused(["--database takes", "postgresql://"], role, database="mysql://berth@localhost/berth", queue="redis://127.0.0.1:1/0")
                self.refused(["--queue takes", "redis://"], role, database=url, queue="amqp://localhost")
                self.refused(["--queue"], role, database=url, queue="redis://127.0.0.1:port/0")

    def test_a_database_that_was_not_migrated(self):
        url = self.database.start().url
        for role in ("api", "scheduler"):
            with self.subTest(role=role):
                self.refused(["berth admin migrate up"], role, database=url, queue="redis://127.0.0.1:1/0")
        self.assertEqual(self.database.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), ["0"], "it has changed the database")

    def test_a_wrong_password(self):
        self.database.start()
        rules = self.database.folder / "data" / "pg_hba.conf"
        text = rules.read_text()
        rules.write_text("local all ada scram-sha-256\n" + text)
        self.database.query("CREATE ROLE ada LOGIN PASSWORD 'the-right-one'", "SELECT pg_reload_conf()")
        url = self.database.url.replace("postgresql://berth@", "postgresql://ada:secret-password@")
        for role in ("api", "scheduler"):
            with self.subTest(role=role):
                self.refused(["password"], role, database=url, queue="redis://127.0.0.1:1/0")

    def test_nobody_listens_there(self):
        url = f"postgresql://berth:secret-password@127.0.0.1:{free_port()}/berth"
        for role in ("api", "scheduler"):
            with self.subTest(role=role):
                self.refused(["the database cannot be reached", "127.0.0.1"], role, database=url, queue="redis://127.0.0.1:1/0")

    def test_settings_in_a_file(self):
        """They are read, flags and variables come first, and what is wrong with the file is said."""
        settings = self.folder / "berth.conf"
        database = f'database = "postgresql://berth:secret-password@127.0.0.1:{free_port()}/berth"\n'
        for role in ("api", "scheduler"):
            with self.subTest(role=role):
                settings.write_text(database + 'queue = "redis://127.0.0.1:1/0"\n')
                self.refused(["the database cannot be reached"], role, config=settings)
                self.refused(["--queue takes"], role, config=settings, queue="amqp://localhost")
                settings.write_text(database + 'quueue = "redis://127.0.0.1:1/0"\n')
                self.refused(["quueue"], role, config=settings)
                self.refused(["nothing.conf"], role, config=self.folder / "nothing.conf")

    def test_a_port_in_use_and_a_lease_that_is_none(self):
        installed = Installation(self.folder / "whole", apis=1, schedulers=1)
        installed.folder.mkdir(mode=0o711)
        self.addCleanup(installed.close)
        installed.start()
        shared = {"database": installed.database.url, "queue": installed.redis.url}
        self.refused([str(installed.apis[0].port)], "api", listen=installed.apis[0].address, **shared)
        self.refused([str(installed.schedulers[0].port)], "scheduler", listen=installed.schedulers[0].address, **shared)
        for lease in ("0s", "soon", "-5s"):
            self.refused(["lease"], "scheduler", lease=lease, **shared)

    def test_redis_is_not_needed_to_start(self):
        """Its absence costs time, not service: everything starts, decides, and finds it when it comes."""
        installed = Installation(self.folder / "whole", apis=1, schedulers=1)
        installed.folder.mkdir(mode=0o711)
        self.addCleanup(installed.close)
        installed.redis.start()
        installed.redis.stop("immediate")
        start, installed.redis.start = installed.redis.start, lambda: None
        installed.start()
        client = installed.client()
        cluster = client.cluster("c", resources={"cpu": 4, "memory": "1GiB"})
        self.starts(client, cluster, "without")
        start()
        self.starts(client, cluster, "with")
        eventually(installed.relayed_all, 20, "a relay that publishes everything")
        eventually(lambda: int(installed.redis.cli("XLEN", "berth:wake")[0]) > 0, 20, "a stream in Redis")
        for part in installed.parts:
            pid = part.announcement["pid"]
            self.assertEqual(pid, part.process.pid)
            self.assertEqual(part.terminate(), 0)
            self.assertFalse(alive(pid))


if __name__ == "__main__":
    main()
