#!/usr/bin/python3
"""The repository checks itself: who may include whom, what may not stand anywhere, how long files get.

The arrows are those of docs/architecture.md. A layer may include itself and what its row names; a
sentence says what to do about each line that it may not have.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# layer: what it may include. "store", "queue" and "runtime" are the port headers at the top of those
# folders; "store/sqlite" and its like are adapters.
ARROWS = {
    "base": set(),
    "core": {"base"},
    "json": {"core", "base"},
    "scheduler": {"core", "base"},
    "async": {"base"},
    "net": {"async", "base"},
    "store": {"core", "base"},
    "queue": {"core", "base"},
    "runtime": {"core", "base", "async"},
    "store/sqlite": {"store/sql", "store", "core", "base"},
    "store/postgres": {"store/sql", "store", "core", "base"},
    "store/move": {"store/sqlite", "store/postgres", "store/sql", "store", "core", "base"},
    "store/*": {"store", "core", "base"},
    "queue/*": {"queue", "core", "base"},
    "runtime/*": {"runtime", "core", "base", "async", "net"},
    "service": {"scheduler", "store", "queue", "runtime", "core", "base", "async"},
    "api": {"service", "scheduler", "core", "base", "json", "net", "async"},
    "cli": {"net", "json", "core", "base", "scheduler"},
    "app": None,  # the composition root: everything
}

# (pattern, where it is allowed, what to do instead)
BANNED = [
    (r"\bstd::(system_clock|chrono::system_clock)::now\b", ("src/base/", "src/net/"), "take a Clock"),
    (r"\bstd::random_device\b", ("src/base/",), "take a Random"),
    (r"\bstd::this_thread::sleep", ("src/cli/", "bench/", "tests/"), "wait for the event itself"),
    (r"\bgetenv\b", ("src/app/", "src/cli/", "tests/", "bench/", "examples/"), "take it from the configuration"),
    (r"^\s*#\s*define\b", (), "use a function or a constant"),
    (r"\busing namespace std;", (), "name what you use"),
    (r"\b(TODO|FIXME|XXX)\b", (), "do it, or write an issue"),
    (r"\bGTEST_SKIP\b|\bDISABLED_", (), "install and start what the test needs"),
]

LONGEST_FILE = 600
# These are longer; they may shrink, not grow.
LONGER_FILES = {
    "src/net/http_server.cc": 1000,
    "tests/json/struct_test.cc": 700,
}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def layer_of(path):
    """ "src/store/sqlite/session.cc" -> "store/sqlite"; "src/store/store.h" -> "store". """
    parts = path.split("/")[1:-1]
    if len(parts) >= 2 and parts[0] in ("store", "queue", "runtime"):
        return "/".join(parts[:2])
    return parts[0] if parts else ""


def may(layer, target):
    if layer == target:
        return True
    row = ARROWS.get(layer, ARROWS.get(layer.split("/")[0] + "/*", set()))
    return row is None or target in row


def check_includes(path, text, complain):
    layer = layer_of(path)
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if not found or "/" not in found.group(1):
            continue
        target = layer_of("src/" + found.group(1))
        if not may(layer, target):
            complain(f'{path}:{number}: {layer} may not include {target} ("{found.group(1)}"); see docs/architecture.md')


def check_text(path, text, complain):
    for pattern, allowed, instead in BANNED:
        if any(path.startswith(prefix) for prefix in allowed):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(pattern, line):
                complain(f"{path}:{number}: '{line.strip()}': {instead}")
    lines = text.count("\n")
    limit = LONGER_FILES.get(path, LONGEST_FILE)
    if lines > limit:
        complain(f"{path}: {lines} lines, at most {limit}: split it by what it is about")
    if path.endswith(".h") and "#pragma once" not in text:
        complain(f"{path}: no '#pragma once'")


def main():
    files = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    complaints = []
    for path in files:
        if not path.endswith((".cc", ".h")) or not path.startswith(("src/", "tests/", "bench/", "examples/")):
            continue
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            text = file.read()
        if path.startswith("src/"):
            check_includes(path, text, complaints.append)
        check_text(path, text, complaints.append)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
