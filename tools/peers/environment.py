"""What a measurement was taken on: the machine, and the versions of libraries on both sides."""

import importlib.metadata
import json
import os
import subprocess
import sys

from mocotf.errors import UserError


def machine():
    """Returns the processor's name, and how many cores there are."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {"cpu": names[0] if names else "unknown", "cores": os.cpu_count()}


def versions(packages):
    """Returns the versions of packages and of this Python."""
    found = {name: importlib.metadata.version(name) for name in packages}
    return found | {"python": sys.version.split()[0]}


def peer_versions(python, packages, alone):
    """Asks the peers' Python for its packages' versions.

    Args:
        python: its path, from --peers_python.
        packages: their names.
        alone: the flag that measures without peers, for the message.

    Raises:
        UserError: there is no such Python, or it lacks one of them.
    """
    code = "import importlib.metadata as m, json, sys\n"
    code += "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    try:
        asked = subprocess.run([python, "-c", code, *packages], check=True, capture_output=True)
        return json.loads(asked.stdout)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f"--peers_python={python}: expected a Python with requirements-peers.txt, "
            f"found none; try: make peers, or {alone} to measure ours alone"
        ) from error
