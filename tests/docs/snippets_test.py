#!/usr/bin/python3
"""The documents are tested: what they show to run is run against a real server, and what they say it
answers is compared with what it answers.

A block that opens with ```sh run is run; the blocks of one document share one shell, one empty home
folder and one fresh server. `exit=N` behind `run` says that its last failing command ends with N. A
```text or ```json block that follows is its output, standard error included:

  text   line by line, runs of blanks count as one; a line with nothing but ... stands for any lines
  json   values as shown; objects may have more members than shown, lists may not

Before the comparison both sides are generalised: identifiers, tokens, request ids, times and ages become
one word each, and the address of the test's server becomes http://localhost:8000. Nothing else differs.

  snippets_test.py --write    puts what was really answered into the documents; look at it before you commit
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "docs")]

from harness import BERTH, Client, Server, SystemTest, main  # noqa: E402
import make_cli  # noqa: E402

WRITE = "--write" in sys.argv
RUN = ["README.md", "docs/api.md", "docs/cli.md", "docs/scheduling.md"]
ADDRESS = "http://localhost:8000"
PASSWORD = "correct horse battery staple"  # of ada, in every document
PATIENCE = 60  # seconds for one snippet

GENERAL = [
    (r"\b(org|usr|clu|dep|inv|key)_[0-9a-z]{26}\b", r"\1_ID"),
    (r"\bberth_(at|rt|key|inv|setup)_[\w-]+", r"berth_\1_TOKEN"),
    (r"\breq_[0-9a-f]{16}\b", "req_ID"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\b\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "TIME"),
    (r"\b\d+(\.\d+)?(ms|s|m|h|d)( \d+(ms|s|m|h))?\b", "AGE"),
    (r"\b127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
]

FENCE = re.compile(r"^```(\S*)(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)


def general(text):
    for pattern, word in GENERAL:
        text = re.sub(pattern, word, text)
    return text


def lines_of(text):
    return [re.sub(r"[ \t]+", " ", line).strip() for line in general(text).strip().splitlines()]


def text_matches(shown, real):
    """Whether the lines match; in `shown` the line '...' stands for any lines."""
    if not shown:
        return not real
    if shown[0] == "...":
        return any(text_matches(shown[1:], real[skip:]) for skip in range(len(real) + 1))
    return bool(real) and shown[0] == real[0] and text_matches(shown[1:], real[1:])


def json_difference(shown, real, at=""):
    """The first difference as a sentence; empty when `real` says all that is shown."""
    if isinstance(shown, dict) and isinstance(real, dict):
        for key, value in shown.items():
            if key not in real:
                return f"{at}/{key} is missing"
            if found := json_difference(value, real[key], f"{at}/{key}"):
                return found
        return ""
    if isinstance(shown, list) and isinstance(real, list) and len(shown) == len(real):
        return next(filter(None, (json_difference(*pair, f"{at}/{i}") for i, pair in enumerate(zip(shown, real)))), "")
    same = general(shown) == general(real) if isinstance(shown, str) and isinstance(real, str) else shown == real
    return "" if same else f"{at or 'the whole'} is {json.dumps(real)}, not {json.dumps(shown)}"


class Document:
    """A file, its blocks to run, and what stands behind each."""

    def __init__(self, path):
        self.path = ROOT / path
        self.text = self.path.read_text()

    def snippets(self):
        """(line, script, wanted exit, kind of the output block, its text, where it stands)"""
        blocks = list(FENCE.finditer(self.text))
        for block, following in zip(blocks, blocks[1:] + [None]):
            words = block.group(2).split()
            if block.group(1) != "sh" or "run" not in words:
                continue
            wanted = next((int(word[5:]) for word in words if word.startswith("exit=")), 0)
            kind = shown = span = None
            if following and following.group(1) in ("text", "json") and not self.text[block.end():following.start()].strip():
                kind, shown, span = following.group(1), following.group(3), following.span(3)
            yield self.text.count("\n", 0, block.start()) + 1, block.group(3), wanted, kind, shown, span

    def anchors(self):
        """As GitHub makes them from headings, and those set by hand."""
        out = set(re.findall(r'<a (?:id|name)="([^"]+)"', self.text))
        prose = FENCE.sub("", self.text)
        for heading in re.findall(r"^#+ +(.+)$", prose, re.MULTILINE):
            word = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-")
            number, name = 0, word
            while name in out:
                number, name = number + 1, f"{word}-{number + 1}"
            out.add(name)
        return out

    def links(self):
        prose = FENCE.sub("", self.text)
        return re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|srcset|href)="([^"]+)"', prose)


class DocumentedServer(Server):
    """With the settings that the documents' readers have, in the folder that they are told to use."""

    def __init__(self, folder):
        super().__init__(folder)
        self.data = self.folder / "berth-data"

    def spawn(self):
        with open(self.folder / "serve.log", "ab") as log:
            self.process = subprocess.Popen(
                [BERTH, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)


class Shell:
    """One bash; what a snippet sets, the next one has."""

    END = "--- end of the snippet:"

    def __init__(self, folder, server):
        (folder / "bin").mkdir()
        (folder / "bin" / "berth").symlink_to(BERTH)
        (folder / "tests").symlink_to(ROOT / "tests")  # as if it stood at the top of the project
        environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8", "TMPDIR": str(folder)}
        self.address = server.url
        self.process = subprocess.Popen(["bash"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.run("set -E -o pipefail; trap 'failed=$?' ERR")

    def run(self, script):
        """(output, exit status of the last command that failed, else 0)"""
        script = script.replace(ADDRESS, self.address)
        self.process.stdin.write(f"failed=0\n{{\n{script}\n}} </dev/null\necho; echo '{self.END}' $failed\n")
        self.process.stdin.flush()
        output = []
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        try:
            return self.answer(output)
        finally:
            watchdog.cancel()

    def answer(self, output):
        for line in self.process.stdout:
            if line.startswith(self.END):
                text = "".join(output)[:-1].replace(self.address, ADDRESS)
                return text.replace(self.address.replace("127.0.0.1", "localhost"), ADDRESS), int(line.split()[-1])
            output.append(line)
        raise AssertionError(f"the shell ended, or a snippet took longer than {PATIENCE} s: " + "".join(output))

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Snippets(SystemTest):
    def check(self, path):
        server = DocumentedServer(self.folder)
        self.addCleanup(server.close)
        server.start()
        shell = Shell(self.folder, server)
        self.addCleanup(shell.close)
        shell.run(f"export BERTH_SERVER={ADDRESS}")
        document = Document(path)
        answers, count = [], 0
        try:
            for line, script, wanted, kind, shown, span in document.snippets():
                count += 1
                output, code = shell.run(script)
                where = f"{path}:{line}\n{script}\n--- answered (exit {code})\n{output}"
                self.assertEqual(code, wanted, where)
                if kind is None:
                    continue
                if WRITE:
                    answers.append((span, self.rewritten(kind, shown, output)))
                elif kind == "json":
                    self.assertEqual(json_difference(json.loads(shown), json.loads(output)), "", where)
                else:
                    self.assertTrue(text_matches(lines_of(shown), lines_of(output)), f"{where}\n--- shown\n{shown}")
        finally:
            self.stop_everything(server)
        self.assertGreater(count, 0, f"{path} shows nothing to run")
        if WRITE:
            text = document.text
            for (begin, end), answer in reversed(answers):
                text = text[:begin] + answer + text[end:]
            document.path.write_text(text)

    @staticmethod
    def rewritten(kind, shown, output):
        """What was answered; what already says the same stays as somebody has cut it."""
        if kind == "json":
            if shown.strip() and not json_difference(json.loads(shown), json.loads(output)):
                return shown
            return json.dumps(json.loads(output), indent=2, ensure_ascii=False) + "\n"
        if shown.strip() and text_matches(lines_of(shown), lines_of(output)):
            return shown
        return output.strip("\n") + "\n"

    @staticmethod
    def stop_everything(server):
        """What the snippets left running outlives a server; so it is stopped through it."""
        ada = Client(server)
        ada.token = ada.must("POST", "/api/v1/auth/login", {"username": "ada", "password": PASSWORD})["access_token"]
        everything = [d["id"] for d in ada.pages("/api/v1/deployments")]
        for identifier in everything:
            ada.must("POST", f"/api/v1/deployments/{identifier}/stop")
        for identifier in everything:
            ada.wait_state(identifier, "stopped", "succeeded", "failed", "cancelled")

    def test_readme(self):
        self.check("README.md")

    def test_api(self):
        self.check("docs/api.md")

    def test_cli(self):
        self.check("docs/cli.md")

    def test_scheduling(self):
        self.check("docs/scheduling.md")


class Reference(unittest.TestCase):
    def test_the_command_reference_is_what_the_binary_says(self):
        text = (ROOT / "docs" / "cli.md").read_text()
        self.assertEqual(make_cli.with_reference(text, BERTH), text, "run: docs/make_cli.py PATH-TO-BERTH")

    def test_every_metric_is_listed(self):
        names = set(re.findall(r'"(berth_\w+)"', (ROOT / "src/api/metrics.cc").read_text()))
        text = (ROOT / "docs/operations.md").read_text()
        self.assertGreater(len(names), 20)
        self.assertEqual([name for name in sorted(names) if f"`{name}`" not in text], [])

    def test_the_transition_table_is_the_code_s(self):
        code = re.findall(r"Transition\{State::(\w+), Cause::(\w+), State::(\w+)\}", (ROOT / "src/core/deployment.cc").read_text())
        shown = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
        self.assertGreater(len(code), 10)
        self.assertEqual(shown, code)

    def test_the_arrows_are_those_that_are_enforced(self):
        sys.path.insert(0, str(ROOT / "tests" / "tidy"))
        import layout
        shown = {}
        for layer, uses in re.findall(r"^\| `([\w/*]+)` \| (.+?) \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE):
            if layer in layout.ARROWS:
                shown[layer] = None if "everything" in uses else set(re.findall(r"`([\w/]+)`", uses))
        self.assertEqual(shown, layout.ARROWS)


class Links(unittest.TestCase):
    def test_every_relative_link_and_anchor_exists(self):
        paths = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT, check=True,
                               capture_output=True, text=True).stdout.split()
        self.assertIn("README.md", paths)
        broken = []
        for path in paths:
            document = Document(path)
            for link in document.links():
                if re.match(r"[a-z]+:", link):
                    continue
                file, _, anchor = link.partition("#")
                target = (document.path.parent / file).resolve() if file else document.path
                if not target.exists():
                    broken.append(f"{path}: {link}: there is no such file")
                elif anchor and target.suffix == ".md" and anchor not in Document(target).anchors():
                    broken.append(f"{path}: {link}: there is no such heading")
        self.assertEqual(broken, [])


if __name__ == "__main__":
    if WRITE:
        sys.argv.remove("--write")
    main()
