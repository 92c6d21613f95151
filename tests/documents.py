"""What README and docs have a user type: commands, and blocks of Python, in their order."""

import glob
import os
import re

from tests.processes import ROOT

DOCUMENTS = ["README.md", *sorted(glob.glob("docs/**/*.md", root_dir=ROOT, recursive=True))]
PROGRAM = re.compile(r"(?:python -m mocotf\.|mocotf |python tools/)([\w-]+)(?:\.py)?")
FENCE = re.compile(r"```(\w*)$")


def commands(document):
    """Returns the commands of a document, those of several lines as one."""
    return [text for kind, text in typed(document) if kind == "command"]


def typed(document):
    """Returns what a document has a user type, a list of ("command" | "python", text)."""
    with open(os.path.join(ROOT, document), encoding="utf-8") as file:
        lines = file.read().replace("\\\n", " ").splitlines()
    found, block, language = [], [], None
    for line in lines:
        fence = FENCE.match(line)
        if fence and language is None:
            block, language = [], fence[1]
        elif fence:
            found += [("python", "\n".join(block) + "\n")] if language == "python" else []
            language = None
        elif language == "python":
            block.append(line)
        elif (language is not None or line.startswith("    ")) and PROGRAM.search(line):
            found.append(("command", " ".join(line.split())))
    return found
