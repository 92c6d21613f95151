"""Lists of planted faults: tests/**/mutants.txt, each beside the tests that are to catch them.

# A comment. A line in its place that begins "# ----" is a heading.
file mocotf/moco/queue.py          where the faults that follow are made
test tests/moco/test_queue.py      what is run for them, of pytest's; several lines for several
slow tests/moco/test_x.py::test_y  likewise, of a test that `make test` leaves out: say why above

name-of-the-fault: what is wrong
- the old text, which occurs once in the file, "- " before each of its lines
+ the new text, likewise
"""

import ast
import dataclasses
import re


class NotUsableError(Exception):
    """A list does not fit the code, or the tests give no verdict."""


@dataclasses.dataclass
class Mutant:
    """A fault: `old` becomes `new` in `file`; one of `tests`, pytest's targets, is to fail."""

    name: str
    fault: str
    file: str
    tests: list[str]
    slow: bool  # whether tests are run that are marked slow
    old: list[str] = dataclasses.field(default_factory=list)  # lines
    new: list[str] = dataclasses.field(default_factory=list)

    def applied_to(self, text):
        """Returns `text` with the fault.

        Raises:
            NotUsableError: the old text does not occur exactly once, or what it makes is no Python.
        """
        old, new = "\n".join(self.old), "\n".join(self.new)
        count = text.count(old) if old else 0
        if count != 1 or old == new:
            raise NotUsableError(
                f"mutant {self.name}: its old text occurs {count} times in {self.file}; "
                f"expected once, and to change:\n{old}"
            )
        text = text.replace(old, new)
        try:
            ast.parse(text)
        except SyntaxError as error:
            raise NotUsableError(f"mutant {self.name}: {self.file} is no Python: {error}") from error
        return text


def read_all(root):
    """Returns the mutants of all lists of a repository."""
    mutants = [mutant for path in sorted(root.glob("tests/**/mutants.txt")) for mutant in read(path)]
    names = [mutant.name for mutant in mutants]
    for name in names:
        if names.count(name) > 1:
            raise NotUsableError(f"several mutants are named {name}")
    return mutants


def read(path):
    """Returns the mutants of a list."""
    mutants, file, tests, slow = [], None, [], False
    header = False  # the line before was `file`, `test` or `slow`
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        word, _, rest = line.partition(" ")
        if word == "file":
            file, header = rest, word
        elif word in ("test", "slow"):
            tests = [*tests, rest] if header == word else [rest]
            slow, header = word == "slow", word
        else:
            header = False
            if word == "-":
                mutants[-1].old.append(rest)
            elif word == "+":
                mutants[-1].new.append(rest)
            elif match := re.fullmatch(r"([\w-]+): (.+)", line):
                mutants.append(Mutant(*match.groups(), file, tests, slow))
            elif line and word != "#":
                raise NotUsableError(f"{path}:{number}: not understood: {line}")
    return mutants


def chosen(mutants, names):
    """Returns the mutants of those names, all where `names` is None."""
    if names is None:
        return mutants
    known = {mutant.name: mutant for mutant in mutants}
    for name in names:
        if name not in known:
            raise NotUsableError(f"--only={name}: no such mutant; --list lists them")
    return [known[name] for name in names]


def check(mutants, root):
    """Checks the mutants against the code.

    Raises:
        NotUsableError: a file does not exist, or a mutant cannot be applied.
    """
    for mutant in mutants:
        for path in (mutant.file, *(test.partition("::")[0] for test in mutant.tests)):
            if not (root / path).is_file():
                raise NotUsableError(f"mutant {mutant.name}: {path} does not exist")
        mutant.applied_to((root / mutant.file).read_text(encoding="utf-8"))
