"""A run that goes on with another number of replicas, and computes what it did.

Images, draws and permutations depend on an image's place in the global batch, not on replicas. Batch
norm does: a replica's share of the batch is normalised in --bn_splits groups, contiguous as the shares
are. So replicas x bn_splits is kept.
"""

import json
import os

from mocotf.errors import UserError
from mocotf.moco.mechanism import Setup
from mocotf.nn.replica_layers import seed_generators
from mocotf.nn.settings import EncoderSettings
from mocotf.training.flags_file import FLAGS_FILE
from mocotf.training.flags_file import is_run
from mocotf.training.flags_file import read_flags
from mocotf.training.history import read_history
from mocotf.training.replicas import meet
from mocotf.training.replicas import text_of_chief
from mocotf.training.run_dir import read_facts


def follow(settings, strategy, worker, workers, *, given):
    """Returns settings with the BN groups that the run has, where one is resumed; all workers call it.

    Args:
        settings: `Pretraining` settings.
        strategy: of the run.
        worker, workers: index of this worker, and how many there are.
        given: whether the user gave --bn_splits.

    Raises:
        UserError: so many replicas cannot have so many groups.
    """
    found = {}
    if worker == 0:
        try:
            found["bn_splits"] = splits_on(settings, strategy.num_replicas_in_sync, given=given)
        except UserError as error:
            found["error"] = str(error)
    if workers > 1:
        found = json.loads(text_of_chief(strategy, json.dumps(found)))
    if "error" in found:
        if workers > 1:
            meet(strategy)
        raise UserError(found["error"])
    return settings.with_bn_splits(found["bn_splits"])


def splits_on(settings, replicas, *, given):
    """Returns the BN groups a replica of a run, new or resumed, on so many replicas.

    Args:
        settings, given: see `follow`.
        replicas: of the run as it goes on.

    Raises:
        UserError: so many replicas cannot have the groups that the run has.
    """
    here, run = settings.config.encoder.bn_splits, settings.training.run
    folder = os.path.expanduser(run.model_dir)
    before = read_facts(folder).get("replicas") if is_run(folder) else None
    if before is None or not _normalises_groups(settings):
        return here
    config = os.path.join(folder, FLAGS_FILE)
    splits = EncoderSettings.of(read_flags(config)).bn_splits
    groups = before * splits
    had = {splits}.union(*(change["changes"].get("--bn_splits", ()) for change in read_history(config)))
    # The same command on other devices has what the run was begun with.
    if replicas * here == groups or (given and str(here) not in map(str, had)):
        return here
    if groups % replicas == 0:
        return groups // replicas
    if run.resume_with_changes:
        return here
    fitting = [str(n) for n in range(1, groups + 1) if groups % n == 0]
    raise UserError(
        f"{replicas} replicas: the run in --model_dir={folder} has {groups} BN groups, --bn_splits="
        f"{splits} on each of {before} replicas; expected {', '.join(fitting)} replicas, or "
        "--resume_with_changes with --bn_splits to have other groups"
    )


def following(settings, model):
    """Returns what of a run may be another when it is resumed, see `RunDir`, because all else that it
    computes stays the same.

    Args:
        settings: `Pretraining` settings.
        model: that they describe.
    """
    own = settings.config.own
    parts = getattr(own, "grad_accum_steps", 1) > 1 and own.shuffle_bn != "off"
    # Key images are shuffled within micro-batches, which are parts of every replica's share; and what
    # draws in a layer draws for its replica.
    if parts or seed_generators(model):
        return ()
    return "--bn_splits", "replicas"


def _normalises_groups(settings):
    """Returns whether batch norm is by groups, not by the whole batch."""
    config = settings.config
    return "bn_splits" in config.mechanism.batch_factors(config.own, Setup(config.encoder))
