"""Where a step's time goes, from a trace of TensorFlow's profiler."""

import collections
import glob
import os
import re

ROWS = 30  # of each table
SHOWN = 100  # characters of a kernel's name
GAPS = (5, 20, 100, 1000)  # microseconds; idle times are counted by which of these they exceed
LONGEST = 12  # idle times that are told one by one


def summary(folder, steps):
    """Returns the milliseconds a step of a trace by operator and by kernel, and how long it was busy.

    Args:
        folder: that `tf.profiler.experimental` wrote to.
        steps: training steps in it.

    Returns:
        {"busy_ms", "span_ms", "launches": a step each; "operators", "instructions" (XLA's, each with
        the operator that it was made of), "kernels": name → milliseconds; "idle": see `_idle`} of the
        GPU, or of TensorFlow's threads on the host where there is none.
    """
    events = list(_events(_space(folder)))
    tables = {name: collections.Counter() for name in ("operators", "instructions", "kernels")}
    for *names, begin, end in events:
        for counter, name in zip(tables.values(), names, strict=True):
            counter[name] += end - begin
    spans = sorted((begin, end) for *_, begin, end in events) or [(0, 0)]
    return {
        "busy_ms": _covered(spans) / 1e9 / steps,
        "span_ms": (max(end for _, end in spans) - spans[0][0]) / 1e9 / steps,
        "launches": len(events) / steps,
        "idle": _idle(events, steps),
    } | {name: _largest(counter, steps) for name, counter in tables.items()}


def _idle(events, steps):
    """Returns when nothing runs between two kernels: "over N us" → [times, milliseconds] a step, and
    "longest": [milliseconds, kernel before, kernel after] of single ones."""
    spans = sorted((begin, end, kernel) for _, _, kernel, begin, end in events)
    gaps, last = [], None
    for begin, end, kernel in spans:
        if last and begin > last[0]:
            gaps.append((begin - last[0], last[1], kernel))
        last = max(last or (0, ""), (end, kernel))
    found = {}
    for least in (0, *GAPS):
        longer = [gap for gap, *_ in gaps if gap > least * 1e6]
        found[f"over {least} us"] = [len(longer) / steps, round(sum(longer) / 1e9 / steps, 3)]
    longest = sorted(gaps, reverse=True)[:LONGEST]
    return found | {"longest": [(round(gap / 1e9, 3), *kernels) for gap, *kernels in longest]}


def _space(folder):
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    paths = glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True)
    space = xplane_pb2.XSpace()
    with open(max(paths, key=os.path.getmtime), "rb") as file:
        space.ParseFromString(file.read())
    return space


def _events(space):
    """Yields (operator, instruction, kernel, begin, end) of what ran, picoseconds."""
    planes = [plane for plane in space.planes if plane.name.startswith("/device:GPU")]
    on_gpu = bool(planes)
    for plane in planes or [plane for plane in space.planes if plane.name == "/host:CPU"]:
        for line in plane.lines:
            # The other lines of a GPU's plane are sums of its streams.
            if on_gpu and "Stream" not in (line.name or line.display_name):
                continue
            for event in line.events:
                kernel = plane.event_metadata[event.metadata_id].name
                operator, instruction = _operator(plane, event) if on_gpu else _host_operator(kernel)
                begin = line.timestamp_ns * 1000 + event.offset_ps
                if operator:
                    end = begin + event.duration_ps
                    yield operator, instruction, _unnumbered(kernel)[:SHOWN], begin, end


def _operator(plane, event):
    """Returns the kind of operator that a kernel belongs to, XLA's or TensorFlow's, and which it is."""
    metadata = plane.event_metadata[event.metadata_id]
    known = {plane.stat_metadata[s.metadata_id].name: s for s in (*event.stats, *metadata.stats)}
    texts = {name: _text(plane, known[name]) for name in ("hlo_op", "tf_op") if name in known}
    if texts.get("hlo_op"):
        name = texts["hlo_op"]
        return f"XLA {_unnumbered(name)}", f"{name} {texts.get('tf_op', '')[-SHOWN:]}".strip()
    if texts.get("tf_op"):
        name = texts["tf_op"]
        return name.rpartition(":")[2] or name, name[-SHOWN:]
    name = metadata.name.split("(")[0][:40]  # copies and fills belong to none
    return name, name


def _host_operator(name):
    """Returns the same of an event of the host, `NAME:OPERATOR`; None, None where it is of none."""
    found = re.fullmatch(r"[^:\s]+:(\w+)", name)
    return (found[1], name[-SHOWN:]) if found else (None, None)


def _unnumbered(name):
    """Returns a name without what tells it from others of its kind: fusion.12 is a fusion."""
    return re.sub(r"[._]\d+(?=$|[._]\d)", "", name)


def _text(plane, stat):
    kind = stat.WhichOneof("value")
    value = getattr(stat, kind)
    return plane.stat_metadata[value].name if kind == "ref_value" else str(value)


def _covered(spans):
    """Returns the length of the union of sorted (begin, end)."""
    total, last = 0, 0
    for begin, end in spans:
        total += max(0, end - max(begin, last))
        last = max(last, end)
    return total


def _largest(counter, steps):
    return {name: round(value / 1e9 / steps, 4) for name, value in counter.most_common(ROWS)}
