#!/usr/bin/python3
"""What lies in deploy/, and the script for trying it out, fit the binary: each flag and variable is a real one, the
compose file is complete, the units are sound, secrets become files that agree with each other."""

import functools
import os
import pathlib
import re
import shlex
import shutil
import stat
import subprocess
import urllib.parse

import yaml

from harness import BERTH, Client, SystemTest, free_port, main

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY, SCRIPT = ROOT / "deploy", ROOT / "scripts" / "dev" / "scaled-out.sh"
COMMANDS = (("admin", "migrate", "up"), ("admin", "create-user"), ("api",), ("scheduler",), ("serve",), ("doctor",), ("login",),
            ("org", "create"), ("cluster", "create"), ("deploy",))


@functools.cache
def known(command):
    """(flags, environment variables) of a command, as its help says."""
    done = subprocess.run([BERTH, *command, "--help"], capture_output=True, text=True, timeout=60)
    if done.returncode != 0 or f"berth {' '.join(command)} " not in done.stdout + " ":
        raise AssertionError(f"there is no command 'berth {' '.join(command)}': {done.stdout}{done.stderr}")
    everywhere = subprocess.run([BERTH, "--help"], capture_output=True, text=True, timeout=60).stdout
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.stdout + everywhere)), set(re.findall(r"Env:(BERTH_\w+)", done.stdout))


def command_of(words):
    """["admin", "migrate", "up", "--database", ...] -> the command and its flags."""
    command = next((c for c in COMMANDS if tuple(words[:len(c)]) == c), None)
    if command is None:
        raise AssertionError(f"'{' '.join(words[:3])}' is no command that a deployment uses")
    own = words[len(command):]
    own = own[:own.index("--")] if "--" in own else own
    return command, {word.partition("=")[0] for word in own if re.match(r"--?[a-z]", word)}


class Fits(SystemTest):
    def real(self, words, variables=()):
        command, flags = command_of(words)
        real_flags, real_variables = known(command)
        self.assertLessEqual(flags, real_flags, f"berth {' '.join(command)} has no such flag")
        self.assertLessEqual(set(variables), real_variables, f"berth {' '.join(command)} reads no such variable")

    def settings(self, path):
        return {line.partition("=")[0] for line in path.read_text().splitlines() if re.match(r"BERTH_\w+=", line)}

    def test_units(self):
        shared = self.settings(DEPLOY / "systemd" / "berth.env.example")
        everywhere = set()
        for name in ("migrate", "api", "scheduler"):
            unit = (DEPLOY / "systemd" / f"berth-{name}.service").read_text()
            (start,) = re.findall(r"^ExecStart=/usr/bin/berth (.*)$", unit, re.MULTILINE)
            own = {word.partition("=")[0] for line in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE) for word in line.split()}
            self.real(shlex.split(start), own)
            everywhere |= known(command_of(shlex.split(start))[0])[1]
            self.assertIn("BERTH_DATABASE", known(command_of(shlex.split(start))[0])[1])
        self.assertLessEqual(shared, everywhere)

    def test_units_are_sound(self):
        for path in sorted((DEPLOY / "systemd").glob("*.service")):
            text = path.read_text().replace("/usr/bin/berth", BERTH)
            (self.folder / path.name).write_text(text)
        done = subprocess.run(["systemd-analyze", "verify", *map(str, sorted(self.folder.glob("*.service")))], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for name in ("api", "scheduler"):
            unit = (DEPLOY / "systemd" / f"berth-{name}.service").read_text()
            for line in ("Type=exec", "Restart=always", "NoNewPrivileges=yes", "ProtectSystem=strict", "User=berth", "CapabilityBoundingSet="):
                self.assertIn(f"\n{line}\n", unit)
        self.assertIn("\nKillMode=process\n", unit, "a restart of the scheduler would end what runs")

    def compose(self):
        return yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())

    def test_the_compose_file_is_complete(self):
        document = self.compose()
        services = document["services"]
        self.assertEqual(set(services), {"migrate", "api", "scheduler", "redis", "postgres"})
        for name, service in services.items():
            with self.subTest(service=name):
                self.assertNotIn("/", service["image"], "an image names no host")
                for secret in service.get("secrets", []):
                    self.assertIn(secret, document["secrets"])
                    self.assertIn(f"/run/secrets/{secret}", str(service) + (DEPLOY / "compose" / "redis.conf").read_text(), "nobody reads it")
                for volume in service.get("volumes", []):
                    self.assertTrue(volume.startswith("./") or volume.partition(":")[0] in document["volumes"], volume)
                self.assertLessEqual(set(service["networks"]), set(document["networks"]))
                for other, how in service.get("depends_on", {}).items():
                    one_shot = services[other]["restart"] == "no"
                    self.assertEqual(how["condition"], "service_completed_successfully" if one_shot else "service_healthy")
                if service["restart"] == "no":
                    continue  # it ends, and the others wait for that
                self.assertEqual(service["restart"], "unless-stopped")
                self.assertLessEqual({"test", "interval", "timeout", "retries"}, set(service["healthcheck"]))
                self.assertIn("no-new-privileges:true", service["security_opt"])
        self.assertEqual(set(services["api"]["depends_on"]), {"migrate", "postgres"}, "Redis is not needed to start")
        self.assertIn("maxmemory-policy noeviction", (DEPLOY / "compose" / "redis.conf").read_text())
        self.assertTrue(all(port.startswith("127.0.0.1:") for s in services.values() for port in s.get("ports", [])))

    def test_the_compose_file_fits(self):
        for name in ("migrate", "api", "scheduler"):
            service = self.compose()["services"][name]
            variables = set(service.get("environment", {})) | set(re.findall(r"BERTH_\w+(?==)", " ".join(service.get("entrypoint", []))))
            self.real(service["command"], variables)

    def test_secrets(self):
        script = self.folder / "secrets.sh"
        shutil.copy(DEPLOY / "compose" / "secrets.sh", script)
        subprocess.run([script], check=True, capture_output=True)
        made = {path.name: path.read_text() for path in (self.folder / "secrets").iterdir()}
        self.assertEqual(set(made), {path["file"].removeprefix("secrets/") for path in self.compose()["secrets"].values()} | {"admin-password"})
        self.assertEqual(stat.S_IMODE(os.stat(self.folder / "secrets").st_mode), 0o700)
        self.assertGreaterEqual(min(len(made["postgres-password"]), len(made["redis-password"]), len(made["admin-password"])), 32)
        self.assertEqual(len({made["postgres-password"], made["redis-password"], made["admin-password"]}), 3)
        values = dict(re.findall(r'^(\w+) = "(.*)"$', made["berth.conf"], re.MULTILINE))
        self.assertEqual(urllib.parse.urlsplit(values["database"]).password, made["postgres-password"])
        self.assertEqual(urllib.parse.urlsplit(values["queue"]).password, made["redis-password"])
        self.assertEqual(made["database-url"].strip(), values["database"])
        self.assertEqual(made["redis-auth"], f"requirepass {made['redis-password']}\n")
        for role in ("api", "scheduler"):  # the binary reads it: no host is called postgres here
            done = subprocess.run([BERTH, role, "--config", self.folder / "secrets" / "berth.conf", "--listen", f"127.0.0.1:{free_port()}"],
                                  capture_output=True, text=True, timeout=60)
            self.assertIn("the database cannot be reached", done.stderr)
            self.assertNotIn(made["postgres-password"], done.stderr)
        subprocess.run([script], check=True, capture_output=True)
        self.assertEqual({path.name: path.read_text() for path in (self.folder / "secrets").iterdir()}, made, "the second time changes nothing")

    def test_the_image(self):
        text = (DEPLOY / "compose" / "Dockerfile").read_text()
        froms = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
        self.assertEqual(froms, ["debian:12-slim", "debian:12-slim"])
        self.assertRegex(text.split("FROM")[-1], r"\nUSER berth\n")

    def test_commands_in_the_documents_and_the_script(self):
        """Every `berth ...` of deploy/README.md and of the script."""
        shown = re.findall(r"```sh\n(.*?)```", (DEPLOY / "README.md").read_text(), re.DOTALL)
        lines = "\n".join([*shown, SCRIPT.read_text()]).replace("\\\n", " ")
        lines = re.sub(r"\$\(cat [^)]*\)", "VALUE", lines).splitlines()
        called = r'(?:(?<![\w./-])|"\$|\$)berth"? ((?:admin|api|scheduler|doctor|login|org|cluster|deploy) [^;)]*)'
        found = [text for line in lines for text in re.findall(called, line)]
        found += [text for line in lines for text in re.findall(r'launch "\w+-\$n" (.*)', line)]
        found += re.findall(r"migrate (admin create-user .*)", "\n".join(lines))
        found = [re.sub(r"[\"'`]", "", re.split(r" \d?[<>|]", text)[0]) for text in found]
        self.assertGreaterEqual(len(found), 10, found)
        for text in found:
            with self.subTest(command=text):
                self.real(text.split())


class TryingItOut(SystemTest):
    def script(self, *words, code=0):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "BERTH": BERTH, "PORT": str(self.port)}
        done = subprocess.run([SCRIPT, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=200)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def test_started_wounded_mended_stopped(self):
        self.port = free_port()
        place = str(self.folder / "try")
        self.addCleanup(subprocess.run, [SCRIPT, "stop", place], capture_output=True, timeout=120)
        self.assertIn("Nothing runs", self.script("status", place))
        said = self.script("start", place, "1", "2")
        self.assertEqual(said.count(" ready\n"), 3, said)
        config = {"BERTH_CONFIG": str(self.folder / "cli.yaml"), "PATH": os.environ["PATH"], "HOME": str(self.folder)}
        (login,) = re.findall(r"^Log in +(.*)$", said, re.MULTILINE)
        subprocess.run(["sh", "-c", login], env=config, check=True, capture_output=True, timeout=60)
        victim = int((self.folder / "try" / "scheduler-2.pid").read_text())
        os.kill(victim, 9)
        self.assertRegex(self.script("status", place), r"scheduler-2 +ended; see ")
        self.assertEqual(self.script("start", place, "1", "2").count(" ready\n"), 3)
        self.assertEqual(Client(type("Api", (), {"port": self.port})).call("GET", "/readyz")[0], 200)
        self.script("stop", place)
        self.assertIn("Nothing runs", self.script("status", place))
        self.assertEqual(subprocess.run(["pgrep", "-f", place], capture_output=True, text=True).stdout, "")
        self.assertEqual(self.script("start", place, "1", "1").count(" ready\n"), 2)


if __name__ == "__main__":
    main()
