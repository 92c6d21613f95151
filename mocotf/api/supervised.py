"""The protocols by which the papers say what an encoder has learned, with labels."""

from mocotf.api.data import data_of
from mocotf.api.data import open_and_tell
from mocotf.data.bad_images import BadImages
from mocotf.data.settings import DataSettings
from mocotf.data.settings import VerifySettings
from mocotf.data.supervised import Labelled
from mocotf.errors import UserError
from mocotf.evaluation import cached
from mocotf.evaluation import protocol
from mocotf.evaluation.protocol import Task
from mocotf.evaluation.settings import LinearSettings
from mocotf.evaluation.settings import PretrainedSettings
from mocotf.evaluation.settings import ProtocolSettings
from mocotf.moco.saved_run import open_run
from mocotf.optim.settings import LayerRateSettings
from mocotf.optim.settings import OptimisationSettings
from mocotf.settings import NONE
from mocotf.training.host import configure_host
from mocotf.training.settings import DeviceSettings
from mocotf.training.settings import RunSettings
from mocotf.training.settings import TrainingSettings

TRAINING = (OptimisationSettings, RunSettings, DeviceSettings)
SHARED = (DataSettings, VerifySettings, ProtocolSettings, PretrainedSettings, *TRAINING)
# Of each protocol: its settings, and those that have another default than elsewhere.
LINEAR = (*SHARED, LinearSettings)
LINEAR_DEFAULTS = {"lr": 30.0, "weight_decay": 0.0, "epochs": 100, "schedule": (60.0, 80.0)}
FINETUNE = (*SHARED, LayerRateSettings)
FINETUNE_DEFAULTS = {"lr": 0.03, "epochs": 100, "schedule": (60.0, 80.0)}


def linear(asked):
    """Trains a linear classifier on a run's frozen encoder, or solves for one on cached features;
    returns the results.

    Args:
        asked: `Asked` of `LINEAR`.

    Raises:
        UserError: settings contradict each other, or there are no labels.
    """
    own = asked.read(LinearSettings)
    if own.cache_features:
        if asked.values["tracker"] != NONE:
            raise UserError("--tracker with --cache_features: no steps are recorded; drop one of them")
        return cached.solve(make_task(asked, own), own.l2)
    rates = own.lr_sweep or ()
    if len(set(rates)) < len(rates):
        raise UserError(
            f"--lr_sweep={','.join(map(str, rates))}: expected each rate once; drop what is repeated"
        )
    task = make_task(asked, own, "runs/v2_linear")
    if rates:
        task = task.with_rate(rates[0])
    return protocol.train("linear", task, tune=False, rates=rates)


def finetune(asked):
    """Fine-tunes a run's encoder, batch norm included, with a new classifier; returns the results.

    Args:
        asked: `Asked` of `FINETUNE`.

    Raises:
        UserError: settings contradict each other, or there are no labels.
    """
    own = asked.read(LayerRateSettings)
    task = make_task(asked, own, "runs/v2_ft")
    return protocol.train("finetune", task, tune=True, lr_scales=own.factors)


def make_task(asked, own, example=None):
    """Returns the `Task` that is asked for.

    Args:
        asked: an `Asked`.
        own: the protocol's own `Settings`.
        example: see `training_of`.
    """
    training, pretrained = training_of(asked, example)
    chosen, verify = asked.read(ProtocolSettings), asked.read(VerifySettings)
    configure_host(training.devices)
    run = open_run(pretrained.pretrained)
    data = data_of(asked, run)
    source = open_and_tell(data)
    return Task(
        run,
        Labelled(source, chosen.label_fraction, chosen.labels, chosen.label_seed),
        BadImages(None, source.size, data.max_bad_images, source.root),
        training,
        chosen,
        verify,
        ops=data.host_ops,
        trained=not pretrained.untrained,
        saved=(*training, pretrained, chosen, verify, data, own),
    )


def training_of(asked, example):
    """Returns the `TrainingSettings` and `PretrainedSettings` that are asked for.

    Args:
        asked: an `Asked`.
        example: of a run directory's name, or None where none is needed.

    Raises:
        UserError: they contradict each other, or the run has no place.
    """
    training = TrainingSettings(*map(asked.read, TRAINING))
    if example and not training.run.model_dir:
        raise UserError(f"--model_dir is missing; expected a folder, such as --model_dir={example}")
    return training, asked.read(PretrainedSettings)
