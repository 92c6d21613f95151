"""The flags that `mocotf.linear` and `mocotf.finetune` share, and the task that they describe."""

from mocotf.cli import data_flags
from mocotf.cli import fit_flags
from mocotf.cli import settings_flags
from mocotf.cli.found import open_and_tell
from mocotf.data.bad_images import BadImages
from mocotf.data.supervised import Labelled
from mocotf.evaluation.protocol import Task
from mocotf.evaluation.settings import ProtocolSettings
from mocotf.moco.saved_run import open_run
from mocotf.training.host import configure_host

settings_flags.define(ProtocolSettings)


def make_task(own, example=None):
    """Returns the `Task` that the flags describe.

    Args:
        own: the command's own `Settings`.
        example: see `fit_flags.read`.
    """
    training, pretrained = fit_flags.read(example)
    protocol = settings_flags.read(ProtocolSettings)
    configure_host(training.devices)
    run = open_run(pretrained.pretrained)
    data = data_flags.read_for(run)
    source = open_and_tell(data)
    return Task(
        run,
        Labelled(source, protocol.label_fraction, protocol.labels, protocol.label_seed),
        BadImages(None, source.size, data.max_bad_images, source.root),
        training,
        protocol,
        ops=data.host_ops,
        trained=not pretrained.untrained,
        saved=(*training, pretrained, protocol, data, own),
    )
