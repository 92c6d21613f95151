"""Fixtures of the tests of reports."""

from tests.reporting.support import runs  # noqa: F401
from tests.reporting.support import written  # noqa: F401
