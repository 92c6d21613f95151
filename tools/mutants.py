"""Holds the tests against the faults that ports of MoCo have: each must make a test fail.

    python tools/mutants.py
    python tools/mutants.py --only=ema-swapped,shuffle-off

The faults are in tests/**/mutants.txt. Each is made alone, in a copy of the repository, by replacing a
text that occurs once in its file, and then its tests are run. An assertion that fails has caught it,
and so has a time-out.

Exit code: 0 all faults caught, 1 some missed, 2 the list does not fit the code, the tests fail without
a fault, or a fault makes them crash.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = sorted(ROOT.glob("tests/**/mutants.txt"))
COPIED = ("mocotf", "tests", "tools", "flags", "pyproject.toml")
PYTEST = ("-m", "pytest", "-x", "-rf", "--tb=line", "-p", "no:cacheprovider")
PASSED, FAILED = 0, 1  # exit codes of pytest; every other is no verdict


class NotUsableError(Exception):
    """The list does not fit the code, or the tests give no verdict."""


@dataclasses.dataclass
class Mutant:
    """A fault: `old` becomes `new` in `file`; one of `tests`, pytest's targets, is to fail."""

    name: str
    fault: str
    file: str
    tests: list[str]
    old: list[str] = dataclasses.field(default_factory=list)  # lines
    new: list[str] = dataclasses.field(default_factory=list)

    def applied_to(self, text):
        """Returns `text` with the fault.

        Raises:
            NotUsableError: the old text does not occur exactly once.
        """
        old, new = "\n".join(self.old), "\n".join(self.new)
        count = text.count(old) if old else 0
        if count != 1 or old == new:
            raise NotUsableError(
                f"mutant {self.name}: its old text occurs {count} times in {self.file}; "
                f"expected once, and to change:\n{old}"
            )
        return text.replace(old, new)


def read_mutants():
    """Returns the mutants of all lists."""
    mutants = [mutant for path in LISTS for mutant in read_list(path)]
    names = [mutant.name for mutant in mutants]
    for name in names:
        if names.count(name) > 1:
            raise NotUsableError(f"several mutants are named {name}")
    return mutants


def read_list(path):
    """Returns the mutants of a list."""
    mutants, file, tests = [], None, []
    header = False  # the line before was `file` or `test`
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        word, _, rest = line.partition(" ")
        if word in ("file", "test"):
            if word == "file":
                file = rest
            else:
                tests = [*tests, rest] if header == "test" else [rest]
            header = word
            continue
        header = False
        if word == "-":
            mutants[-1].old.append(rest)
        elif word == "+":
            mutants[-1].new.append(rest)
        elif match := re.fullmatch(r"([\w-]+): (.+)", line):
            mutants.append(Mutant(*match.groups(), file, tests))
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


def check(mutants, root=ROOT):
    """Holds the list against the code.

    Raises:
        NotUsableError: a file of the list does not exist, or a text does not occur exactly once.
    """
    for mutant in mutants:
        for path in (mutant.file, *(test.partition("::")[0] for test in mutant.tests)):
            if not (root / path).is_file():
                raise NotUsableError(f"mutant {mutant.name}: {path} does not exist")
        mutant.applied_to((root / mutant.file).read_text(encoding="utf-8"))


@contextlib.contextmanager
def copy_of_repository():
    """Yields the path of a copy, in which `import mocotf` finds the copy's."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder).resolve()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
                )
            else:
                shutil.copy(ROOT / name, copy / name)
        found = in_copy(copy, "-c", "import mocotf; print(mocotf.__file__)").stdout.strip()
        if Path(found) != copy / "mocotf" / "__init__.py":
            raise NotUsableError(f"in the copy, mocotf is imported from {found or 'nowhere'}")
        yield copy


def in_copy(copy, *arguments, timeout=None):
    # Compiled files are told from stale ones by time and size, which a mutation may leave alike.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "500"}
    for name in ("PYTHONPATH", "PYTHONSAFEPATH", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )


def run_tests(copy, tests, timeout=None):
    return in_copy(copy, *PYTEST, *tests, timeout=timeout)


def run_baseline(copy, mutants):
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    files = {test for test in tests if "::" not in test}
    tests = [test for test in tests if test in files or test.partition("::")[0] not in files]
    started = time.perf_counter()
    done = run_tests(copy, tests)
    if done.returncode != PASSED:
        raise NotUsableError(f"the tests do not pass without a fault:\n{done.stdout[-3000:]}")
    print(f"baseline {time.perf_counter() - started:6.1f} s  {len(tests)} targets pass", flush=True)


def run_mutant(copy, mutant, timeout):
    """Returns whether the fault was caught, and how."""
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    path.write_text(mutant.applied_to(text), encoding="utf-8")
    try:
        done = run_tests(copy, mutant.tests, timeout)
    except subprocess.TimeoutExpired:
        return True, f"by the time-out of {timeout:g} s"
    finally:
        path.write_text(text, encoding="utf-8")
    if done.returncode == PASSED:
        return False, ""
    failed = re.search(r"^FAILED (.+) - (AssertionError|assert |Failed:)", done.stdout, re.MULTILINE)
    if done.returncode != FAILED or not failed:
        raise NotUsableError(
            f"mutant {mutant.name}: no assertion fails, the tests crash:\n{done.stdout[-3000:]}"
        )
    return True, f"by {failed[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME,NAME", help="these mutants only")
    parser.add_argument("--list", action="store_true", help="list the mutants and stop")
    parser.add_argument("--check", action="store_true", help="check the list against the code and stop")
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not run the tests without a fault"
    )
    parser.add_argument("--timeout", type=float, default=300, help="seconds a mutant may take (300)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy is removed
    try:
        mutants = chosen(read_mutants(), arguments.only and arguments.only.split(","))
        if arguments.list:
            width = max(len(mutant.name) for mutant in mutants)
            for mutant in mutants:
                print(f"{mutant.name:<{width}}  {mutant.fault}")
            return 0
        check(mutants)
        if arguments.check:
            print(f"{len(mutants)} mutants fit the code")
            return 0
        missed = run(mutants, arguments)
    except NotUsableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({"mutants": len(mutants), "missed": missed}))
    return 1 if missed else 0


def run(mutants, arguments):
    """Runs the mutants, prints what became of each, and returns the names of those missed."""
    missed, begun = [], time.perf_counter()
    width = max(len(mutant.name) for mutant in mutants)
    with copy_of_repository() as copy:
        if not arguments.no_baseline:
            run_baseline(copy, mutants)
        for mutant in mutants:
            started = time.perf_counter()
            caught, how = run_mutant(copy, mutant, arguments.timeout)
            if not caught:
                missed.append(mutant.name)
            seconds = time.perf_counter() - started
            verdict = "caught" if caught else "missed"
            print(f"{verdict} {seconds:7.1f} s  {mutant.name:<{width}}  {how}".rstrip(), flush=True)
    print(
        f"{len(mutants) - len(missed)} of {len(mutants)} mutants caught"
        f" in {time.perf_counter() - begun:.0f} s{': missed ' if missed else ''}{', '.join(missed)}"
    )
    return missed


if __name__ == "__main__":
    sys.exit(main())
