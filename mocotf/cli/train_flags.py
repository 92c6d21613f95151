"""The flags of `python -m mocotf.train`, named after the original's."""

from absl import flags

from mocotf.cli import fit_flags
from mocotf.cli import mechanism_flags
from mocotf.cli import settings_flags
from mocotf.cli import values
from mocotf.data.settings import DataSettings
from mocotf.data.settings import ViewSettings
from mocotf.errors import UserError
from mocotf.evaluation.settings import MonitorSettings
from mocotf.moco.shuffle import SHUFFLES
from mocotf.nn.settings import EncoderSettings
from mocotf.optim.settings import OptimisationSettings
from mocotf.training.settings import PretrainingDeviceSettings
from mocotf.training.settings import PretrainingRunSettings

RUN = (PretrainingRunSettings, MonitorSettings, PretrainingDeviceSettings)
FLAGS = flags.FLAGS
settings_flags.define(DataSettings, ViewSettings, EncoderSettings)
flags.adopt_module_key_flags(mechanism_flags)

flags.DEFINE_integer(
    "moco_k",
    65536,
    "Negatives: keys in the queue of moco; entries drawn from the bank, by memory_bank for all images "
    "of a step, by npid for each. end_to_end has those of the batch.",
    lower_bound=1,
)
flags.DEFINE_float(
    "moco_m",
    0.999,
    "Momentum m of the key encoder: theta_k <- m theta_k + (1 - m) theta_q each step of moco.",
    0,
    1,
)
flags.DEFINE_float("moco_t", 0.07, "Softmax temperature T.", lower_bound=1e-6)
flags.DEFINE_enum(
    "shuffle_bn",
    "gather",
    SHUFFLES,
    "Permute key images over replicas and BN groups: gather, every replica gathers all of them; input, "
    "the input pipeline permutes them, and only keys travel; off.",
)
flags.DEFINE_bool("symmetric", False, "Sum the loss of both directions; enqueues 2 keys an image.")
flags.DEFINE_integer(
    "grad_accum_steps",
    1,
    "Parts a replica takes its share of a batch in, one after another, to need less memory; batch norm "
    "and its shuffling act within a part.",
    lower_bound=1,
)
settings_flags.define(OptimisationSettings, *RUN)

# Flags that change what is shown or kept, not what is computed.
NEUTRAL = settings_flags.neutral(DataSettings, ViewSettings, EncoderSettings, *RUN) | {"shard_bank"}
# Flags that say where a run is, not what it is; they are not saved.
PLACES = fit_flags.PLACES | {"workers", "worker_index", "tpu"}


def resolved():
    """Returns name → text of every flag but those of `PLACES`, defaults included."""
    return values.resolved(__name__, PLACES)


def decisive():
    """Returns the part of `resolved` that decides what is computed."""
    return {name: text for name, text in resolved().items() if name not in NEUTRAL}


def check():
    """Holds flags against each other.

    Raises:
        UserError: flags contradict each other.
    """
    for cls in (OptimisationSettings, *RUN, ViewSettings, EncoderSettings):
        settings_flags.read(cls)
    mechanism_flags.check()
    values.check_finite("moco_t")
    if FLAGS.data_service and FLAGS.host_ops == "numba":
        raise UserError(
            f"--data_service={FLAGS.data_service} with --host_ops=numba: a service runs TensorFlow's "
            "operators only; try --host_ops=tensorflow"
        )
    if FLAGS.shuffle_bn == "input" and FLAGS.symmetric:
        raise UserError(
            "--shuffle_bn=input with --symmetric: key images are queries too, and to place them twice "
            "saves nothing; try --shuffle_bn=gather"
        )
    settings_flags.read(DataSettings)
