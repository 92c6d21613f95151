"""The differences that tests measure, kept for the table in docs/fidelity.md."""

MEASURED = {}  # quantity: (tolerance, largest difference)

HEAD = """# Fidelity: mocotf against independent oracles

Written by `make fidelity`, from the tests that assert it. The oracles (`tests/oracles`) are plain
PyTorch and NumPy/Pillow, written from the papers without sight of mocotf's code. A difference is
max|a - b| / max|b| of a tensor, the largest over all tensors and steps; that of images is the mean
over an image in grey levels (of 255), the largest over the photographs and parameters tested, and
against Pillow it includes Pillow's own rounding to whole levels.

What these tests would catch is tested too: `tools/mutants.py` plants one fault at a time in a copy
of the package, and `make test-slow` asserts that none is missed.

| quantity | tolerance | largest difference |
|---|---|---|
"""


def agree(quantity, difference, tolerance):
    """Asserts that a difference is within its tolerance, and keeps it for the table."""
    _, largest = MEASURED.get(quantity, (tolerance, 0.0))
    MEASURED[quantity] = (tolerance, max(largest, float(difference)))
    assert difference <= tolerance, f"{quantity}: {difference:.3g} apart, more than {tolerance:g}"


def table():
    """Returns the text of docs/fidelity.md."""
    rows = [
        f"| {quantity} | {tolerance:g} | {f'{largest:.1e}' if largest else 'equal'} |\n"
        for quantity, (tolerance, largest) in sorted(MEASURED.items())
    ]
    return HEAD + "".join(rows)
