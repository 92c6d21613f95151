"""What W&B has written of a run that was offline, which `wandb sync` would send."""

import json

KINDS = {
    1: (True, True),
    2: (True, False),
    3: (False, False),
    4: (False, True),
}  # first and last of its record
BLOCK, HEADER, CHUNK = 32768, 7, 7


def records(folder):
    """Yields the `Record`s of a run's folder in order, those of all its starts."""
    from wandb.proto.wandb_internal_pb2 import Record

    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for content in _contents(path.read_bytes()):
            yield Record.FromString(content)


def history(folder):
    """Returns what was told of each step, name → number; what W&B adds begins with _."""
    return [values(one.history.item) for one in records(folder) if one.HasField("history")]


def summary(folder):
    """Returns name → value of what is shown of a run beside its charts."""
    found = {}
    for one in records(folder):
        found |= values(one.summary.update)
    return found


def values(items):
    """Returns name → value of items of a record."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _contents(content):
    """Yields what the records of a log of LevelDB's format hold."""
    at, whole = HEADER, b""
    while at + CHUNK <= len(content):
        if (left := BLOCK - at % BLOCK) < CHUNK:
            at += left
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        if kind not in KINDS:
            return
        whole += content[at + CHUNK : at + CHUNK + size]
        at += CHUNK + size
        if KINDS[kind][1]:
            yield whole
            whole = b""
