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
from mocotf.nn.settings import EncoderSettings
from mocotf.optim.settings import OptimisationSettings
from mocotf.training.settings import PretrainingDeviceSettings
from mocotf.training.settings import PretrainingRunSettings

RUN = (PretrainingRunSettings, MonitorSettings, PretrainingDeviceSettings)
FLAGS = flags.FLAGS
settings_flags.define(DataSettings, ViewSettings, EncoderSettings)
flags.adopt_module_key_flags(mechanism_flags)
settings_flags.define(OptimisationSettings, *RUN)

# Flags that change what is shown or kept, not what is computed.
NEUTRAL = settings_flags.neutral(
    DataSettings, ViewSettings, EncoderSettings, *mechanism_flags.SETTINGS, *RUN
)
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
    mechanism_flags.read_config()
    if FLAGS.data_service and FLAGS.host_ops == "numba":
        raise UserError(
            f"--data_service={FLAGS.data_service} with --host_ops=numba: a service runs TensorFlow's "
            "operators only; try --host_ops=tensorflow"
        )
    settings_flags.read(DataSettings)
