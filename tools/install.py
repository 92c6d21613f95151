"""Installs what a file of requirements names, by pip, and says how far that is.

    .venv/bin/python tools/install.py requirements.txt

Exit code: pip's; where it fails, all that it said comes before.
"""

import os
import shutil
import subprocess
import sys
import threading
import time

EVERY = 4.0  # seconds between two lines
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off", "-r")


def install(command, what, every=EVERY):
    """Runs pip; returns its exit code.

    Args:
        command: a list, as `subprocess` takes it.
        what: that is installed, a phrase.
        every: seconds between two lines.
    """
    print(f"installing {what}, once: it takes minutes", flush=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said, began = [], time.monotonic()
    reader = threading.Thread(target=lambda: said.extend(process.stdout))
    reader.start()
    while True:
        try:
            code = process.wait(every)
            break
        except subprocess.TimeoutExpired:
            tell(f"  {progress(said)}, {time.monotonic() - began:.0f} s so far")
    reader.join()
    tell("")
    if code:
        sys.stderr.writelines(said)
    else:
        print(f"installed {what}, {time.monotonic() - began:.0f} s", flush=True)
    return code


def tell(line):
    """Prints a line, on a terminal in the place of the last; "" is none."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
    elif line:
        print(line, flush=True)


def progress(said):
    """Returns how far pip is, by the lines that it has printed."""
    if any(line.startswith("Installing collected packages") for line in said):
        return "writing files"
    found = [line.split()[1] for line in said if line.startswith("Collecting ")]
    packages = f"{len(found)} package{'s' * (len(found) > 1)}"
    return f"{packages} found, the last {found[-1]}" if found else "looking for packages"


if __name__ == "__main__":
    (path,) = sys.argv[1:]
    sys.exit(install([sys.executable, *PIP, path], f"{path} into {sys.prefix}"))
