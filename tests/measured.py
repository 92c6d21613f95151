"""The differences that tests measure, kept for the table in docs/reference/fidelity.md."""

import pytest

MEASURED = {}  # quantity: (tolerance, largest difference)

HEAD = """# Fidelity: mocotf against independent oracles

Written by `make fidelity`, from the tests that assert it. The oracles (`tests/oracles`) are plain
PyTorch and NumPy/Pillow, written from the papers without sight of mocotf's code. A difference is
max|a - b| / max|b| of a tensor, the largest over all tensors and steps; that of images is the mean
over an image in grey levels (of 255), the largest over the photographs and parameters tested, and
against Pillow it includes Pillow's own rounding to whole levels.

What these tests would catch is tested too: `make mutants` plants one fault at a time in a copy of the
package, each of which must make a test fail.

| quantity | tolerance | largest difference |
|---|---|---|
"""


def agree(quantity, difference, tolerance):
    """Asserts that a difference is within its tolerance, and keeps it for the table."""
    keep(quantity, float(difference), tolerance)
    assert difference <= tolerance, f"{quantity}: {difference:.3g} apart, more than {tolerance:g}"


def keep(quantity, difference, tolerance):
    _, largest = MEASURED.get(quantity, (tolerance, 0.0))
    MEASURED[quantity] = (tolerance, max(largest, difference))


def table():
    """Returns the text of docs/reference/fidelity.md."""
    rows = [
        f"| {quantity} | {tolerance:g} | {f'{largest:.1e}' if largest else 'equal'} |\n"
        for quantity, (tolerance, largest) in sorted(MEASURED.items())
    ]
    return HEAD + "".join(rows)


def pytest_addoption(parser):
    parser.addoption("--fidelity", metavar="FILE", help="write the table of measured differences")


def pytest_sessionfinish(session, exitstatus):
    """Writes the table; of several test processes the first does, the others hand on what they have."""
    path = session.config.getoption("--fidelity")
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["measured"] = MEASURED
    elif path and not exitstatus:
        with open(path, "w", encoding="utf-8") as file:
            file.write(table())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    measured = getattr(node, "workeroutput", {}).get("measured", {})
    for quantity, (tolerance, difference) in measured.items():
        keep(quantity, difference, tolerance)
