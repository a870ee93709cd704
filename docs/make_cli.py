#!/usr/bin/python3
"""Writes the reference part of docs/cli.md from what the binary says about itself.

  docs/make_cli.py PATH-TO-BERTH
"""

import pathlib
import re
import subprocess
import sys

BEGIN, END = "<!-- reference: written by docs/make_cli.py -->\n", "<!-- end of the reference -->\n"
# Defaults that depend on who asks are asked for by somebody with a fixed one.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/home/ada", "BERTH_DATA_DIR": "~/.local/share/berth"}


def help_of(berth, words):
    text = subprocess.run([berth, *words, "--help"], env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout
    # What stands under every command stands once, in the section about exit codes.
    return re.sub(r"\n*^Exit codes: .*$", "", text, flags=re.MULTILINE).strip()


def commands_in(text):
    part = text.partition("\nSubcommands:\n")[2]
    return [name.rstrip(",") for name in re.findall(r"^  ([a-z-]+,?) ", part, re.MULTILINE)]


def sections(berth, words=()):
    text = help_of(berth, words)
    yield f"### berth{''.join(' ' + word for word in words)}\n\n```text\n{text}\n```\n"
    for name in commands_in(text):
        yield from sections(berth, (*words, name))


def with_reference(document, berth):
    head, _, rest = document.partition(BEGIN)
    tail = rest.partition(END)[2]
    return head + BEGIN + "\n" + "\n".join(sections(berth)) + "\n" + END + tail


def main():
    file = pathlib.Path(__file__).with_name("cli.md")
    file.write_text(with_reference(file.read_text(), sys.argv[1]))


if __name__ == "__main__":
    main()
