"""A run's line in the table that TensorBoard's hparams plugin makes of runs."""

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as plugin

# TensorBoard shows five flags until others are ticked: of those said to differ, the first by name.
FIRST = ("batch_size", "lr", "moco_k", "moco_m", "moco_t")
TYPES = {bool: api_pb2.DATA_TYPE_BOOL, float: api_pb2.DATA_TYPE_FLOAT64, str: api_pb2.DATA_TYPE_STRING}


def describe_run(flags, metrics, began):
    """Returns what TensorBoard is told of a run that begins, a list of `Summary.Value`.

    Args:
        flags: name → text of what distinguishes runs.
        metrics: name → tag of the scalars that are shown beside them.
        began: seconds since the epoch.
    """
    values = {name: typed(text) for name, text in flags.items()}
    infos = [
        api_pb2.HParamInfo(name=name, type=TYPES[type(value)], differs=name in FIRST)
        for name, value in sorted(values.items())
    ]
    shown = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name)
        for name, tag in metrics.items()
    ]
    return [
        *_values(plugin.experiment_pb(infos, shown, time_created_secs=began)),
        *_values(plugin.session_start_pb(values, start_time_secs=began)),
    ]


def describe_end(ended):
    """Returns what TensorBoard is told of a run that has reached its end, at a time like `began`."""
    return _values(plugin.session_end_pb(api_pb2.STATUS_SUCCESS, end_time_secs=ended))


def typed(text):
    """Returns what the text of a flag stands for, a bool or a float where it can be one."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _values(summary):
    # TensorFlow's protocol buffers, which are not TensorBoard's.
    return list(Summary.FromString(summary.SerializeToString()).value)
