"""What `make` says while pip installs; the fault of pip's is a stand-in's."""

import sys

from tools.install import install

SLOW = """
import sys, time
print("WARNING: a notice")
print("Collecting absl-py==2.5.0 (from -r requirements.txt)", flush=True)
time.sleep(0.6)
"""


def test_it_is_not_silent_and_keeps_notices_to_itself(capfd):
    assert install([sys.executable, "-c", SLOW], "it", every=0.2) == 0
    first, *lines, last = capfd.readouterr().out.splitlines()
    assert first.startswith("installing it") and last.startswith("installed it")
    assert "1 package found, the last absl-py==2.5.0" in lines[-1] and "notice" not in str(lines)


def test_of_a_failure_all_is_told(capfd):
    assert install([sys.executable, "-c", "print('ERROR: no network'); exit(3)"], "it") == 3
    out, err = capfd.readouterr()
    assert err == "ERROR: no network\n" and "installed" not in out
