"""Runs pytest on the files that Bazel names; the exit status is pytest's."""

import os
import sys


def main():
    # Python put the folder of this file's original first, which lies in the checkout: only the test's
    # own copy counts.
    del sys.path[0]
    # Bazel passes none, and Keras and tensorflow-datasets write there.
    os.environ.setdefault("HOME", os.environ["TEST_TMPDIR"])
    import pytest

    args = ["-p", "no:cacheprovider"]
    args += ["--basetemp", os.path.join(os.environ["TEST_TMPDIR"], "pytest")]
    args += ["--junitxml", os.environ["XML_OUTPUT_FILE"]]
    if "TESTBRIDGE_TEST_ONLY" in os.environ:  # bazel test --test_filter=...
        args += ["-k", os.environ["TESTBRIDGE_TEST_ONLY"]]
    sys.exit(pytest.main(args + sys.argv[1:]))


if __name__ == "__main__":  # a process that tests fork commands from imports this file
    main()
