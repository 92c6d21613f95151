"""All commands by one name: `mocotf train …` is `python -m mocotf.train …`."""

import ast
import difflib
import pathlib
import runpy
import sys

import mocotf

HELP = ("-h", "--help", "help")


def main():
    """Runs the command that is named first; exit code 2 where there is none of that name."""
    name, *arguments = sys.argv[1:] or HELP
    known = commands()
    if name in HELP:
        print(overview(known))
    elif name == "--version":
        print(f"mocotf {mocotf.__version__}")
    elif path := known.get(name):
        sys.argv[1:] = arguments
        # As -m does it: absl's flags, and --help, ask for the module that is the main one.
        runpy.run_module(f"mocotf.{path.stem}", run_name="__main__", alter_sys=True)
    else:
        near = difflib.get_close_matches(name, known, n=1) or ["--help"]
        expected = f"expected one of {', '.join(known)}; try: mocotf {near[0]}"
        print(f"error: {name} is no command of mocotf; {expected}", file=sys.stderr)
        sys.exit(2)


def commands():
    """Returns name → path of the modules that `-m` runs."""
    modules = sorted(pathlib.Path(__file__).parent.glob("[a-z]*.py"))
    run = [path for path in modules if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]
    return {path.stem.replace("_", "-"): path for path in run}


def overview(known):
    """Returns what `mocotf --help` says of `commands`: of each what its docstring begins with."""
    lines = [__doc__, "", *(f"  {name:12}{summary(path)}" for name, path in known.items()), ""]
    return "\n".join([*lines, "mocotf COMMAND --help says more of one; mocotf --version."])


def summary(path):
    """Returns the first line of a module's docstring, without running the module."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).partition("\n")[0]


if __name__ == "__main__":
    main()
