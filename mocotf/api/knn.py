"""kNN: what an encoder has learned, without training anything."""

import time

import tensorflow as tf

from mocotf import terminal
from mocotf.api.data import data_of
from mocotf.api.data import open_and_tell
from mocotf.data.bad_images import BadImages
from mocotf.data.settings import DataSettings
from mocotf.data.supervised import check_classes
from mocotf.data.supervised import check_labelled
from mocotf.errors import UserError
from mocotf.evaluation.evaluation_json import add_to_evaluation
from mocotf.evaluation.monitor import encoder_function
from mocotf.evaluation.settings import KNNSettings
from mocotf.evaluation.settings import MonitorSettings
from mocotf.evaluation.settings import UntrainedSettings
from mocotf.evaluation.splits import KNNSplits
from mocotf.moco.saved_run import open_run
from mocotf.tables import counted
from mocotf.training.host import configure_host
from mocotf.training.settings import RunDirSettings

SETTINGS = (RunDirSettings, UntrainedSettings, KNNSettings, DataSettings)


def knn(asked):
    """Measures the encoder of a run, prints the numbers, and enters the first into its evaluation.json,
    where all images are used; returns them.

    Args:
        asked: `Asked` of `SETTINGS`.

    Raises:
        UserError: there is no such run, or nothing to measure it by.
    """
    place, encoder, own = map(asked.read, SETTINGS[:3])
    configure_host()
    run = open_run(place.model_dir)
    recorded = MonitorSettings.of(run.flags)
    ks = list(dict.fromkeys(own.k or [recorded.knn_k]))
    Ts = list(dict.fromkeys(own.t or [recorded.knn_t]))
    network = own.features or recorded.knn_features
    data = data_of(asked, run)
    source = open_and_tell(data)
    check_labelled(source)
    bad_images = BadImages(None, sum(source.evaluation_sizes), data.max_bad_images, source.root)
    with terminal.phase("loading the encoder"):
        splits = KNNSplits(source, run.view, bad_images, (own.max_images, own.max_images))
        check_bank(splits.sizes[0], ks)
        encode = encoder_function(run.encoder(trained=not encoder.untrained), network)
    # An accelerator's products of 10-bit mantissas would mistake the order of neighbours.
    tf.config.experimental.enable_tensor_float_32_execution(False)

    start = time.perf_counter()
    with bad_images.explained(), terminal.phase("encoding pictures", sum(splits.sizes)):
        nearest, queries, labels = splits.search(encode, max(ks))
    seconds = time.perf_counter() - start
    check_classes(nearest.classes, labels, source)

    top1 = {T: {k: nearest.top1(labels, k=k, T=T) for k in ks} for T in Ts}
    found = {
        "checkpoint": run.checkpoint,
        "step": 0 if encoder.untrained else run.step,
        "features": network,
        "width": queries.shape[1],
        "bank": nearest.size,
        "queries": len(queries),
        "classes": len(nearest.classes),
        "bad_images": len(bad_images.names),
        "seconds": round(seconds, 1),
        "knn_top1": top1[Ts[0]][ks[0]],
        "votes": [{"k": k, "T": T, "top1": top1[T][k]} for T in Ts for k in ks],
    }
    show(found, top1, encoder.untrained)
    if not own.max_images:
        add_to_evaluation(run, {"knn_top1": found["knn_top1"]}, trained=not encoder.untrained)
    return found


def check_bank(size, ks):
    """Checks the numbers of neighbours against the images that there are."""
    if too_large := [str(k) for k in ks if k > size]:
        raise UserError(
            f"--k={','.join(too_large)}: there are only {size} images to compare with; expected at "
            f"most as many neighbours; try --k={max(1, min(20, size // 10))}"
        )


def show(found, top1, untrained):
    """Prints the numbers, a row each temperature and a column each k."""
    what = "untrained" if untrained else f"step {found['step']}"
    print(f"{found['checkpoint']}, {what}: {found['features']} features of width {found['width']}")
    bank, classes = counted(found["bank"], "image"), counted(found["classes"], "class")
    sizes = f"{bank} of {classes}, {found['queries']:,} queries, {found['seconds']} s"
    print(sizes + (f"; {found['bad_images']} did not decode" if found["bad_images"] else ""))
    ks = [vote["k"] for vote in found["votes"][: len(found["votes"]) // len(top1)]]
    print(f"\n{'kNN top-1, %':<14}" + "".join(f"{f'k={k}':>9}" for k in ks))
    for T, row in top1.items():
        print(f"{f'  T={T:g}':<14}" + "".join(f"{row[k]:9.2f}" for k in ks), flush=True)
