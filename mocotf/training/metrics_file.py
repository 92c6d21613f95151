"""metrics.jsonl: the records of a run, a line of JSON each, which has a checksum as its last key."""

import json
import logging
import os
import time

from mocotf.errors import UserError
from mocotf.files import read_file
from mocotf.json_files import sealed
from mocotf.json_files import unsealed

log = logging.getLogger(__name__)


def stamped(record):
    """Returns a record with its wall-clock `time`."""
    return record | {"time": round(time.time(), 3)}


def line_of(record):
    """Returns the line of a record, bytes."""
    return json.dumps(sealed(record, "crc32")).encode() + b"\n"


def read_metrics(path, *, whole=False):
    """Returns the records of a metrics.jsonl, dictionaries in order of step; none where it is not.

    A damaged line is left out, and a warning says so.

    Args:
        path: of the file.
        whole: refuse a damaged line, but for a last one that was cut short.

    Raises:
        UserError: so, or the file cannot be read.
    """
    if not os.path.exists(path):
        return []
    records, lines = [], read_file(path).splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            records.append(_record(line))
        except (ValueError, RecursionError) as error:
            if whole and line.endswith(b"\n"):
                raise UserError(
                    f"{path}, line {number}: is damaged, and may have noted a retry (--on_collapse); "
                    "restore it, or remove the line: the run goes on without what it noted"
                ) from error
            log.warning("%s, line %d: is damaged, or no record; left out", path, number)
    return records


def _record(line):
    record = unsealed(json.loads(line.decode()))
    step, moment = record.get("step"), record.get("time")
    if not isinstance(step, int) or not isinstance(moment, int | float):
        raise ValueError("has no step, or no time")
    return record
