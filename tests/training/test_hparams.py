"""The table of runs in TensorBoard's hparams plugin."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mocotf.evaluation.measures import MEASURES
from mocotf.metrics import LOSS
from mocotf.training.metrics_log import Records
from mocotf.training.run_dir import RunDir

METRICS = (LOSS, *MEASURES)


def told(path):
    """Returns tag → what the plugin is told of a run."""
    events = EventAccumulator(str(path)).Reload()
    contents = events.PluginTagToContent(metadata.PLUGIN_NAME)
    return {tag: HParamsPluginData.FromString(content) for tag, content in contents.items()}


def test_a_run_is_a_line_of_its_flags_typed_and_its_metrics_named(tmp_path):
    run_dir = RunDir(str(tmp_path), ())
    flags = {"lr": "0.12", "mlp": "true", "arch": "resnet10", "mean": "0.5,0.4,0.3", "seed": "0"}
    records = Records(run_dir, METRICS, flags)
    records.write({"step": 1, "epoch": 0, "loss": 5.0, "chance": 6.9})
    records.close()
    found = told(tmp_path)
    start = found[metadata.SESSION_START_INFO_TAG].session_start_info
    values = {name: getattr(v, v.WhichOneof("kind")) for name, v in start.hparams.items()}
    assert values == {"lr": 0.12, "mlp": True, "arch": "resnet10", "mean": "0.5,0.4,0.3", "seed": 0}
    experiment = found[metadata.EXPERIMENT_TAG].experiment
    assert [info.name for info in experiment.hparam_infos if info.differs] == ["lr"]
    types = {info.name: info.type for info in experiment.hparam_infos}
    assert types["lr"] == types["seed"] == api_pb2.DATA_TYPE_FLOAT64
    assert (types["mlp"], types["arch"]) == (api_pb2.DATA_TYPE_BOOL, api_pb2.DATA_TYPE_STRING)
    metrics = {info.display_name: info.name.tag for info in experiment.metric_infos}
    assert metrics == {"knn_top1": "evaluation/knn_top1", "loss": "pretext/loss"}
    assert metadata.SESSION_END_INFO_TAG not in found, "the run goes on"

    records = Records(run_dir, METRICS, flags)  # resumed
    records.finish()
    records.close()
    found = told(tmp_path)
    again = found[metadata.SESSION_START_INFO_TAG].session_start_info
    assert again.hparams == start.hparams and again.start_time_secs <= run_dir.metrics()[0]["time"]
    end = found[metadata.SESSION_END_INFO_TAG].session_end_info
    assert end.status == api_pb2.STATUS_SUCCESS and end.end_time_secs >= again.start_time_secs
