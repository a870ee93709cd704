#!/usr/bin/python3
"""The command line as a person and a script meet it: output, streams, exit codes, what it says when it
goes wrong."""

import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import time

from harness import BERTH, PASSWORD, SystemTest, free_port, main, wait_until

OK, UNEXPECTED, USAGE, NOT_AUTHENTICATED, FORBIDDEN, CONFLICT, REJECTED, TIMED_OUT, FAILED, UNREACHABLE, PARTIAL = range(11)
INTERRUPTED = 130
ESCAPE = "\x1b"


class CommandLine(SystemTest):
    def setUp(self):
        super().setUp()
        self.running = self.server()
        self.running.start()
        self.login(self.running)
        self.berth("cluster", "create", "sim", "--runtime", "simulated", "--cpu", "4", "--memory", "8GiB", "--gpu", "2")

    def refused(self, *words, code, says, **more):
        out, err = self.berth(*words, code=code, **more)
        self.assertEqual(out, "", "a refusal belongs on stderr")
        self.assertIn(says, err)
        self.assertTrue(err.startswith("berth: "), err)
        self.assertNotIn(ESCAPE, err)
        return err

    def test_every_listing_in_every_format(self):
        self.berth("deploy", "a", "--cpu", "1", "--simulate", "1h", "--wait")
        self.berth("deploy", "b", "--cpu", "4", "--simulate", "1h")
        self.berth("token", "create", "script")
        self.berth("invite", "create")
        listings = [["ps"], ["ps", "--all"], ["queue"], ["queue", "sim"], ["cluster", "list"], ["org", "list"], ["member", "list"],
                    ["invite", "list"], ["token", "list"], ["context", "list"], ["events", "a"], ["org", "audit"]]
        singles = [["cluster", "status"], ["get", "a"], ["explain", "b"], ["whoami"]]
        for words in listings + singles:
            for form in ("table", "wide", "json", "yaml", "name", "csv"):
                with self.subTest(words=words, form=form):
                    out, err = self.berth(*words, "-o", form)
                    self.assertEqual(err, "", "no hints off a terminal")
                    self.assertNotIn(ESCAPE, out)
                    self.assertTrue(out.strip())
                    if form == "json":
                        document = json.loads(out)
                        self.assertEqual(isinstance(document.get("items"), list), words in listings)
                    if form == "csv" and words in listings:
                        heads = out.splitlines()[0].split(",")
                        self.assertGreater(len(heads), 1)
        self.assertEqual(self.berth("ps", "-o", "name")[0], "b\na\n")

    def test_json_is_the_object_of_the_api(self):
        made = json.loads(self.berth("deploy", "j", "--cpu", "500m", "--simulate", "1h", "-o", "json")[0])
        self.assertEqual(made["name"], "j")
        self.assertEqual(made["resources"]["cpu"], 0.5)
        self.assertRegex(made["id"], r"^dep_[0-9a-z]{26}$")

    def test_exit_codes(self):
        self.refused(code=USAGE, says="subcommand")
        self.refused("depoly", "x", code=USAGE, says="did you mean 'deploy'")
        self.refused("cluster", "lst", code=USAGE, says="did you mean 'list'")
        self.refused("deploy", "x", "--cpus", "1", code=USAGE, says="--cpus")
        self.refused("get", "nothing", code=FORBIDDEN, says="No deployment 'nothing'")
        self.refused("cluster", "status", "nothing", code=FORBIDDEN, says="there are: sim")
        self.refused("deploy", "x", "--cpu", "1", "--cluster", "nothing", code=FORBIDDEN, says="No such cluster 'nothing'")
        self.refused("deploy", "x", "--cpu", "9", "--simulate", "1s", code=REJECTED, says="The largest that would fit is cpu 4")
        self.refused("deploy", "x", "--cpu", "one", code=REJECTED, says="cpu")
        self.refused("deploy", "x y", "--cpu", "1", "--simulate", "1s", code=REJECTED, says="name")
        self.berth("deploy", "twin", "--cpu", "1", "--simulate", "1h")
        self.refused("deploy", "twin", "--cpu", "1", "--simulate", "1h", code=CONFLICT, says="choose another name")
        self.refused("whoami", "--server", f"http://127.0.0.1:{free_port()}", code=UNREACHABLE, says="Cannot reach")
        self.refused("whoami", config="stranger", env={"BERTH_SERVER": self.running.url}, code=NOT_AUTHENTICATED, says="berth login")
        self.refused("whoami", env={"BERTH_TOKEN": "berth_at_nonsense", "BERTH_SERVER": self.running.url}, config="stranger2", code=NOT_AUTHENTICATED, says="berth login")
        self.refused("delete", "twin", code=CONFLICT, says="stop it first")
        self.refused("replay", "no-such-file.csv", code=REJECTED, says="no-such-file.csv")
        self.refused("completion", "tcsh", code=USAGE, says="bash, zsh or fish")

    def test_wait_tells_the_truth(self):
        job = ("--kind", "job", "--wait")
        self.berth("deploy", "good", "--cpu", "1", "--simulate", "10ms", *job)
        (self.folder / "bad.yaml").write_text("name: bad\nkind: job\nresources: {cpu: 1}\nsimulate: {duration: 10ms, exit_code: 3}\n")
        out, err = self.berth("deploy", "-f", str(self.folder / "bad.yaml"), "--wait", code=FAILED)
        self.assertIn("exit status 3", err)
        self.assertIn("berth logs bad", err)
        self.berth("deploy", "holder", "--cpu", "4", "--simulate", "1h", "--wait")
        out, err = self.berth("deploy", "later", "--cpu", "4", "--simulate", "1h", "--wait", "--timeout", "300ms", code=TIMED_OUT)
        self.assertIn("queued: WaitingForCapacity", err)
        self.assertIn("berth explain later", err)
        self.refused("deploy", "x", "--cpu", "1", "--wait", "--timeout", "soon", code=USAGE, says="90s or 10m")

    def test_ctrl_c_detaches(self):
        self.berth("deploy", "holder", "--cpu", "4", "--simulate", "1h", "--wait")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "BERTH_CONFIG": str(self.folder / "cli/config.yaml")}
        waiting = subprocess.Popen([BERTH, "deploy", "held", "--cpu", "4", "--simulate", "1h", "--wait"], env=environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("queued", waiting.stderr.readline())
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=20)
        self.assertEqual(waiting.returncode, INTERRUPTED)
        self.assertIn("berth stop held", err)
        self.assertEqual(json.loads(self.berth("get", "held", "-o", "json")[0])["state"], "queued")

    def test_what_is_shown_once_is_shown_in_every_format(self):
        for words in (["token", "create", "t"], ["invite", "create"]):
            for form in ("table", "wide", "json", "yaml", "csv"):
                out, _ = self.berth(*words, "-o", form)
                self.assertRegex(out, r"berth_(key|inv)_[\w-]{20,}", f"{words} -o {form}")

    def test_waiting_says_each_reason_once(self):
        (self.folder / "f.yaml").write_text("name: flaky\nkind: service\nresources: {cpu: 1}\nsimulate: {duration: 1ms, exit_code: 1}\n"
                                            "restart: {max_attempts: 2, backoff: 1s}\n")
        _, err = self.berth("deploy", "-f", str(self.folder / "f.yaml"), "--wait", code=None)
        self.assertLessEqual(err.count("BackoffAfterFailure"), 1, err)

    def test_two_organizations_on_one_cluster(self):
        self.berth("org", "create", "guests")
        self.berth("cluster", "quota", "set", "sim", "guests", "--cpu", "1", "--no-borrowing")
        self.berth("deploy", "a", "--organization", "guests", "--cpu", "1", "--simulate", "1h", "--wait")
        self.berth("deploy", "b", "--organization", "guests", "--cpu", "2", "--simulate", "1h")
        out, _ = self.berth("explain", "b")
        self.assertIn("b: queued, ExceedsQuota\nIt asks for cpu 2. Its organization uses cpu 1 of its quota of cpu 1 on cluster sim", out)
        self.assertIn("Somebody has to act.", out)
        rows = json.loads(self.berth("cluster", "quota", "list", "sim", "-o", "json")[0])["items"]
        self.assertEqual([(r["organization"], r["used"]["cpu"], r["waiting"]) for r in rows], [("lab", 0, 0), ("guests", 1, 1)])
        self.assertEqual(self.berth("cluster", "quota", "list", "-o", "name")[0], "lab\nguests\n")
        self.assertIn("guests: uses 1 cpu of its quota of cpu 1, 0 cpu of that borrowed; 1 wait", self.berth("cluster", "status")[0])
        plan = json.loads(self.berth("plan", "submit cpu=1 organization=guests", "submit cpu=1", "-o", "json")[0])
        self.assertEqual([len(step["starts"]) for step in plan["steps"]], [0, 1])
        self.assertTrue(json.loads(self.berth("cluster", "update", "sim", "--fair", "-o", "json")[0])["fair"])
        self.assertFalse(json.loads(self.berth("cluster", "update", "sim", "--no-fair", "-o", "json")[0])["fair"])
        self.refused("cluster", "quota", "set", "sim", "strangers", code=FORBIDDEN, says="by the organization's id")
        self.refused("cluster", "quota", "remove", "sim", "guests", "--yes", code=CONFLICT, says="2 deployments of guests")
        self.berth("cluster", "quota", "set", "sim", "guests", "--cpu", "1", "--borrow-cpu", "0", "--borrow-memory", "1GiB")
        self.berth("stop", "a", "b", "--yes", "--wait")
        self.berth("cluster", "quota", "remove", "sim", "guests", "--yes")
        self.assertEqual(self.berth("cluster", "quota", "list", "-o", "name")[0], "lab\n")

    def test_a_day_at_work(self):
        """Two people: one shares the organization, the other joins, deploys, looks, stops."""
        code, _ = self.berth("invite", "create", "--role", "developer", "--uses", "1")
        (self.folder / "password2").write_text(PASSWORD + "2\n")
        out, _ = self.berth("register", "--server", self.running.url, "-u", "grace", "--email", "grace@example.org", "--password-file",
                            str(self.folder / "password2"), "--invite", code.strip(), config="grace")
        self.assertIn("Registered and logged in as grace", out)
        self.refused("invite", "redeem", code.strip(), config="grace", code=FORBIDDEN, says="berth")
        self.refused("cluster", "create", "more", "--runtime", "simulated", "--cpu", "1", "--memory", "1GiB", config="grace",
                     code=FORBIDDEN, says="admin")
        self.berth("deploy", "mine", "--cpu", "3", "--priority", "high", "--simulate", "1h", "--wait", config="grace")
        self.berth("deploy", "large", "--cpu", "2", "--simulate", "1h", config="grace")
        self.berth("deploy", "urgent", "--cpu", "3", "--simulate", "1h", "--priority", "HIGH", config="grace")
        self.berth("deploy", "last", "--cpu", "1", "--simulate", "1h", config="grace")
        queue = json.loads(self.berth("queue", "-o", "json", config="grace")[0])["items"]
        self.assertEqual([(i["position"], i["name"], i["reason"]) for i in queue],
                         [(1, "urgent", "WaitingForCapacity"), (2, "large", "WaitingForCapacity"), (3, "last", "BehindHigherPriority")])
        out, _ = self.berth("explain", "urgent", config="grace")
        self.assertIn("cpu 2 more on node node-1", out)
        self.berth("priority", "large", "high", config="grace")
        out, _ = self.berth("stop", "mine", "--yes", "--wait", config="grace")
        self.assertEqual(out, "mine  stopped\n")
        names = {d["name"]: d["state"] for d in json.loads(self.berth("ps", "-o", "json", config="grace")[0])["items"]}
        self.assertIn(names["large"], ("starting", "running"), "the order of admission counts, also after a change of priority")
        self.assertEqual(names["urgent"], "queued")
        self.berth("stop", "urgent", "nothing", "--yes", config="grace", code=PARTIAL)
        self.berth("delete", "mine", config="grace")
        self.berth("logout", config="grace")
        self.refused("ps", config="grace", code=NOT_AUTHENTICATED, says="berth login")
        self.berth("login", "-u", "grace@example.org", "--password-file", str(self.folder / "password2"), config="grace")
        self.refused("login", "-u", "grace", "--password-file", "-", stdin="wrong wrong wrong\n", config="grace",
                     code=NOT_AUTHENTICATED, says="wrong")

    def test_api_key_instead_of_a_login(self):
        key, _ = self.berth("token", "create", "ci")
        out, _ = self.berth("whoami", "-o", "json", config="ci", env={"BERTH_TOKEN": key.strip(), "BERTH_SERVER": self.running.url})
        self.assertEqual(json.loads(out)["username"], "root")
        self.assertFalse((self.folder / "ci").exists(), "a token from the environment is not written down")

    def test_the_configuration_is_private(self):
        file = self.folder / "cli/config.yaml"
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        os.chmod(file, 0o640)
        self.refused("whoami", code=USAGE, says="chmod 600")

    def test_secrets_are_no_flags(self):
        for words in (["login"], ["register"], ["setup"], ["admin", "create-user"]):
            out, _ = self.berth(*words, "--help")
            self.assertNotRegex(out, r"--password[ =]")

    def test_help_has_an_exit_table_and_completion_parses(self):
        self.assertIn("Exit codes: 0 done", self.berth("--help")[0])
        script, _ = self.berth("completion", "bash")
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        words = subprocess.run(["bash"], input=script + "\nCOMP_WORDS=(berth cluster ''); COMP_CWORD=2; _berth; echo ${COMPREPLY[@]}\n",
                               text=True, capture_output=True, check=True).stdout.split()
        for verb in ("create", "list", "status", "pause", "resume", "delete"):
            self.assertIn(verb, words)
        self.assertIn("cluster", self.berth("completion", "fish")[0])
        self.assertIn("bashcompinit", self.berth("completion", "zsh")[0])

    def test_no_colour_or_motion_off_a_terminal_and_a_question_on_one(self):
        self.berth("deploy", "asked", "--cpu", "1", "--simulate", "1h", "--wait")
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["BERTH_CONFIG"] = str(self.folder / "cli/config.yaml")
            os.execv(BERTH, [BERTH, "stop", "asked"])
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, b"n\n")
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(status), INTERRUPTED)
        self.assertEqual(json.loads(self.berth("get", "asked", "-o", "json")[0])["state"], "running")

    def test_what_others_wrote_cannot_steer_a_terminal(self):
        (self.folder / "label.json").write_text(json.dumps({"name": "clean", "resources": {"cpu": 1}, "simulate": {"duration": "1h"},
                                                            "labels": {"note": "\x1b[2J\x07"}}))
        self.berth("deploy", "-f", str(self.folder / "label.json"))
        for form in ("table", "json", "yaml"):
            self.assertNotIn(ESCAPE, self.berth("get", "clean", "-o", form)[0])

    def test_a_file_and_flags_together(self):
        (self.folder / "d.yaml").write_text("# comments are fine\nname: fromfile\ncluster: sim\nresources:\n  cpu: 500m\n  memory: 1GiB\n"
                                            "simulate: {duration: 1h}\npriority: low\n")
        made = json.loads(self.berth("deploy", "-f", str(self.folder / "d.yaml"), "--priority", "high", "--cpu", "2", "-o", "json")[0])
        self.assertEqual((made["name"], made["priority"], made["resources"]["cpu"], made["resources"]["memory"]), ("fromfile", "high", 2, 1 << 30))
        made = json.loads(self.berth("deploy", "-f", "-", "-o", "json", stdin="name: piped\nresources: {cpu: 1}\nsimulate: {duration: 1h}\n")[0])
        self.assertEqual(made["name"], "piped")
        (self.folder / "wrong.yaml").write_text("name: w\nresources: {cpu: 1}\npriorty: high\n")
        err = self.refused("deploy", "-f", str(self.folder / "wrong.yaml"), code=REJECTED, says="priorty")
        self.assertIn('did you mean "priority"', err)
        (self.folder / "broken.yaml").write_text("name: [w\n")
        self.refused("deploy", "-f", str(self.folder / "broken.yaml"), code=REJECTED, says="broken.yaml: Invalid YAML at line 2")

    def test_events_are_followed(self):
        environment = {"PATH": os.environ["PATH"], "BERTH_CONFIG": str(self.folder / "cli/config.yaml")}
        follower = subprocess.Popen([BERTH, "events", "-f", "-o", "json"], env=environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(follower.kill)
        time.sleep(0.3)
        self.berth("deploy", "seen", "--cpu", "1", "--simulate", "10ms", "--kind", "job", "--wait")
        kinds = []
        while "deployment.succeeded" not in kinds:
            kinds.append(json.loads(follower.stdout.readline())["kind"])
        self.assertEqual(kinds, ["deployment.queued", "deployment.starting", "deployment.running", "deployment.succeeded"])

    def test_version_names_both(self):
        out, err = self.berth("version")
        self.assertRegex(out, r"^berth \d+\.\d+\.\d+\nserver \d+\.\d+\.\d+ at http")
        self.assertEqual(err, "")


class FirstMinute(SystemTest):
    """What somebody meets who types `berth serve` for the first time."""

    def test_one_line_for_a_machine_and_nothing_secret_in_it(self):
        server = self.server()
        server.start()
        said = server.announcement
        self.assertEqual(said["data_dir"], str(server.data))
        self.assertEqual(said["pid"], server.process.pid)
        secret = pathlib.Path(said["setup_token_file"])
        self.assertEqual(secret.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(secret.read_text().strip(), json.dumps(said))
        self.assertEqual((server.data / "berth.db").stat().st_mode & 0o077, 0)

    def test_a_second_server_is_refused_with_the_first_ones_process(self):
        server = self.server()
        server.start()
        _, err = self.berth("serve", "--data-dir", str(server.data), "--listen", f"127.0.0.1:{free_port()}", code=1)
        self.assertIn(f"process {server.process.pid}", err)
        _, err = self.berth("admin", "create-user", "--data-dir", str(server.data), "-u", "x", "--email", "x@example.org", "--password-file", "-",
                            stdin=PASSWORD + "\n", code=1)
        self.assertIn(f"process {server.process.pid}", err)

    def test_a_taken_port_is_named_with_its_owner(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            _, err = self.berth("serve", "--data-dir", str(self.folder / "d"), "--listen", f"127.0.0.1:{port}", code=1)
        self.assertIn(f"process {os.getpid()}", err)
        self.assertIn("--listen", err)

    def test_wrong_settings_are_refused_with_a_sentence(self):
        for flags, says in ((["--listen", "here"], "HOST:PORT"), (["--rate-limit", "-1"], "--rate-limit"), (["--registration", "maybe"], "open"),
                            (["--threads", "1000"], "--threads")):
            _, err = self.berth("serve", "--data-dir", str(self.folder / "d"), *flags, code=USAGE)
            self.assertIn(says, err)
        self.assertFalse((self.folder / "d").exists())

    def test_an_administrator_without_a_browser(self):
        server = self.server()
        password = ["--password-file", "-"]
        who = ["-u", "ada", "--email", "ada@example.org"]
        out, _ = self.berth("admin", "create-user", "--data-dir", str(server.data), *who, *password, stdin=PASSWORD + "\n")
        self.assertIn("Administrator ada is ready", out)
        _, err = self.berth("admin", "create-user", "--data-dir", str(server.data), *who, *password, stdin="short\n", code=REJECTED)
        self.assertIn("/password", err)
        server.start()
        self.assertNotIn("setup_token_file", server.announcement)
        self.berth("login", "--server", server.url, "-u", "ada", *password, stdin=PASSWORD + "\n")
        server.terminate()
        self.berth("admin", "create-user", "--data-dir", str(server.data), *who, *password, stdin="another long one 77\n")
        server.start()
        self.berth("login", "-u", "ada", *password, stdin=PASSWORD + "\n", code=NOT_AUTHENTICATED)
        self.berth("login", "-u", "ada", *password, stdin="another long one 77\n")

    def test_set_up_takes_this_machine_as_the_first_cluster_and_forgets_the_token(self):
        server = self.server()
        server.start()
        (self.folder / "password").write_text(PASSWORD + "\n")
        setup = ["setup", "--server", server.url, "--token-file", str(server.data / "setup-token"), "-u", "root", "--email", "root@example.org",
                 "--password-file", str(self.folder / "password"), "--org", "lab"]
        token = (server.data / "setup-token").read_text()
        self.berth(*setup)
        self.assertFalse((server.data / "setup-token").exists(), "it works once, so it does not stay")
        local = json.loads(self.berth("cluster", "list", "-o", "json")[0])["items"]
        self.assertEqual([(c["name"], c["runtime"]["kind"]) for c in local], [("local", "process")])
        self.assertEqual(local[0]["resources"]["cpu"], len(os.sched_getaffinity(0)))
        (server.data / "setup-token").write_text(token)
        _, err = self.berth(*setup, code=FORBIDDEN)
        self.assertIn("not valid", err)

    def test_what_really_runs_says_how_much_it_needs(self):
        server = self.server()
        server.start()
        self.login(server)
        self.berth("cluster", "create", "here", "--cpu", "2", "--memory", "1GiB")
        _, err = self.berth("deploy", "x", "--cpu", "1", "--", "sleep", "1", code=REJECTED)
        self.assertIn("/resources/memory", err)
        _, err = self.berth("deploy", "x", "--memory", "1MiB", "--", "sleep", "1", code=REJECTED)
        self.assertIn("/resources/cpu", err)
        _, err = self.berth("cluster", "create", "there", "--cpu", "2", code=USAGE)
        self.assertIn("--memory", err)
        _, err = self.berth("deploy", "typo", "--cpu", "1", "--memory", "1MiB", "--wait", "--", "pyton3", "x.py", code=FAILED)
        self.assertIn("Cannot run 'pyton3': no such file.", err)
        self.assertNotIn("berth logs", err, "it never ran, so there is no log to look at")
        self.berth("deploy", "slow", "--cpu", "1", "--memory", "8MiB", "--port", "8080", "--ready", "/ok", "--", "sleep", "60")
        out, _ = self.berth("explain", "slow")
        self.assertRegex(out, r"It got its place \S+ ago and is not ready: GET /ok on its port \(PORT\) has not answered 2xx yet\.")
        self.berth("stop", "slow", "--yes", "--wait")

    def test_ps_shows_what_runs_however_much_has_ended(self):
        server = self.server()
        server.start()
        root = server.set_up()
        cluster = root.cluster("c", resources={"cpu": 4, "memory": "1GiB"})
        def submit(name, duration):
            return root.must("POST", "/api/v1/deployments", {"cluster_id": cluster, "name": name, "kind": "job", "resources": {"cpu": 0.1},
                                                             "simulate": {"duration": duration}})["id"]
        submit("old-but-running", "1h")
        for i in range(210):
            submit(f"short-{i}", "1ms")
        wait_until(lambda: root.must("GET", f"/api/v1/clusters/{cluster}/status")["active"] == 1, 20, "the short ones' end")
        out, _ = self.berth("ps", "-o", "name", env={"BERTH_TOKEN": root.token, "BERTH_SERVER": server.url})
        self.assertEqual(out, "old-but-running\n")

    def test_a_refused_stream_is_a_sentence_and_not_a_document(self):
        server = self.server()
        server.start()
        self.login(server)
        self.berth("cluster", "create", "sim", "--runtime", "simulated", "--cpu", "1", "--memory", "1GiB")
        self.berth("deploy", "x", "--cpu", "1", "--simulate", "1h")
        out, err = self.berth("logs", "x", "--attempt", "9", code=None)
        self.assertEqual(out, "")
        self.assertNotIn("{", err)
        self.assertTrue(err.startswith("berth: "), err)

    def test_doctor_tells_broken_from_unfit(self):
        server = self.server()
        self.berth("doctor", "--data-dir", str(self.folder / "nowhere"), code=UNEXPECTED)
        server.start()
        self.login(server)
        out, _ = self.berth("doctor", "--data-dir", str(server.data), "-o", "json")
        self.assertNotIn("broken", [f["verdict"] for f in json.loads(out)["findings"]])
        out, _ = self.berth("doctor", "--data-dir", str(server.data), "--listen", "0.0.0.0:80", "--rate-limit", "off")
        for says in ("plain HTTP", "--registration invite", "rate limit"):
            self.assertIn(says, out)
        self.berth("cluster", "create", "sim", "--runtime", "simulated", "--cpu", "4", "--memory", "8GiB")
        server.terminate()
        subprocess.run(["sqlite3", str(server.data / "berth.db"), "UPDATE nodes SET free_cpu = free_cpu - 1000"], check=True)
        out, _ = self.berth("doctor", "--data-dir", str(server.data), code=UNEXPECTED)
        self.assertRegex(out, r"BROKEN +conservation")
        os.chmod(server.data, 0o777)
        out, _ = self.berth("doctor", "--data-dir", str(server.data), code=UNEXPECTED)
        self.assertIn("chmod 700", out)

    def test_a_newer_database_is_refused(self):
        server = self.server()
        server.start()
        server.terminate()
        subprocess.run(["sqlite3", str(server.data / "berth.db"),
                        "INSERT INTO schema_migrations VALUES ('9999_future', x'00', 0)"], check=True)
        _, err = self.berth("serve", "--data-dir", str(server.data), "--listen", f"127.0.0.1:{free_port()}", code=1)
        self.assertIn("newer version", err)

    def test_terminated_politely_it_drains(self):
        server = self.server()
        server.start()
        root = server.set_up()
        cluster = root.cluster("c", resources={"cpu": 1, "memory": "1GiB"})
        root.must("POST", "/api/v1/deployments", {"cluster_id": cluster, "name": "d", "resources": {"cpu": 1}, "simulate": {"duration": "1h"}})
        began = time.monotonic()
        self.assertEqual(server.terminate(), 0)
        self.assertLess(time.monotonic() - began, 10)


class Replay(SystemTest):
    SLICE = pathlib.Path(__file__).parent.parent / "data" / "traces"

    def test_a_slice_of_openb_and_what_it_says(self):
        server = self.server()
        server.start()
        self.login(server)
        out, _ = self.berth("replay", str(self.SLICE / "openb_pods_slice.csv"), "--nodes", str(self.SLICE / "openb_nodes_slice.csv"),
                            "--gpus", "8", "--speed", "2000000", "-o", "json", "-q")
        report = json.loads(out)
        self.assertTrue(report["invariants_held"], report)
        self.assertEqual(report["findings"], [])
        self.assertEqual(report["jobs"] + report["refused"], 300)
        self.assertEqual(report["starts"], report["jobs"])
        self.assertEqual({row["priority"] for row in report["queueing"]}, {"high", "low"})
        self.assertGreater(report["utilization"]["gpu"], 0.01)
        self.assertLessEqual(report["utilization"]["gpu"], 1.0)
        out, err = self.berth("replay", str(self.SLICE / "openb_pods_slice.csv"), "--nodes", str(self.SLICE / "openb_nodes_slice.csv"),
                              "--gpus", "8", "--speed", "2000000", "--limit", "20")
        self.assertIn("invariants: held. ", out)
        self.assertIn("19 jobs over", out)
        self.assertIn("1 refused", out)
        self.assertIn("submitted", err)
        self.assertEqual(self.berth("cluster", "list", "-o", "json")[0].count('"name"'), 0, "the replay cleans up after itself")

    def test_what_is_no_trace_is_refused(self):
        server = self.server()
        server.start()
        self.login(server)
        wrong = self.folder / "wrong.csv"
        wrong.write_text("a,b\n1,2\n")
        _, err = self.berth("replay", str(wrong), "--gpus", "8", code=REJECTED)
        self.assertIn("no trace that Berth knows", err)
        wrong.write_text("num_gpu,submit_time,duration,priority,job_id\n1,2,x,0,7\n")
        _, err = self.berth("replay", str(wrong), "--gpus", "8", code=REJECTED)
        self.assertIn("wrong.csv:2: column 'duration'", err)
        wrong.write_text("num_gpu,submit_time,duration,priority,job_id\n1,2,3,0,7\n")
        _, err = self.berth("replay", str(wrong), code=USAGE)
        self.assertIn("--gpus", err)


if __name__ == "__main__":
    main()
