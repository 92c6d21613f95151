"""How a run is kept, and on what it runs: what a user may choose, of every command that trains."""

import dataclasses
import typing

from mocotf.data.sources.base import ROUNDS
from mocotf.data.sources.base import TENSORFLOWS_OWN
from mocotf.errors import UserError
from mocotf.nn.kernels import policy
from mocotf.optim.settings import OptimisationSettings
from mocotf.settings import AUTO
from mocotf.settings import NONE
from mocotf.settings import Settings
from mocotf.settings import Switch
from mocotf.settings import setting
from mocotf.training.divergence import MOST_SKIPPED
from mocotf.training.gpus import DEVICES
from mocotf.training.strategy import STRATEGIES
from mocotf.training.tracker import CHOICES


@dataclasses.dataclass(frozen=True)
class RunDirSettings(Settings):
    """Where a run is, of the commands that write one and of those that read one."""

    GROUP = "Run"

    model_dir: str | None = setting(
        None,
        "Run directory: checkpoints, metrics, TensorBoard. Training in it again resumes the run; "
        "where a run is only read, one of its checkpoints will do too, as "
        "DIR/checkpoints/ckpt-STEP.",
        place=True,
    )


@dataclasses.dataclass(frozen=True)
class RunSettings(RunDirSettings):
    """How a run is kept; none of these but the seed decides what is computed."""

    seed: int = setting(0, "Seed of the run's random draws.", low=0, high=2**32 - 1)
    log_every: int = setting(
        10, "Steps between records in metrics.jsonl and TensorBoard.", low=1, neutral=True
    )
    checkpoint_every: int = setting(
        1000, "Steps between checkpoints; the last step is one too.", low=1, neutral=True
    )
    checkpoint_epochs: int = setting(
        0, "Epochs between checkpoints, instead of --checkpoint_every.", low=0, neutral=True
    )
    checkpoint_minutes: float = setting(
        0.0,
        "Also save when this many minutes have passed since the last checkpoint; 0: never.",
        low=0,
        neutral=True,
    )
    keep_checkpoints: int = setting(
        3,
        "How many of the newest checkpoints are kept, beside the most accurate one.",
        low=1,
        neutral=True,
    )
    tracker: str = setting(
        NONE,
        "What else is told the numbers that TensorBoard shows: W&B or MLflow, each by its own library, "
        "which an extra of this name installs, and as its own variables in the environment say.",
        choices=CHOICES,
        neutral=True,
    )
    accept_changed_flags: bool = setting(
        False,
        "Accept the run's flags.cfg although it has been edited. Giving this once is enough.",
        place=True,
    )
    steps_per_execution: int = setting(
        1, "Steps between two calls of Keras's callbacks.", low=1, neutral=True
    )


@dataclasses.dataclass(frozen=True)
class PretrainingRunSettings(RunSettings):
    """What a pre-training run may do beside: start from another's encoder, survive what diverges."""

    resume_with_changes: bool = setting(
        False,
        "Continue a run, finished or not, from its last checkpoint with the settings given now; "
        "flags.cfg notes what was changed, and at which step. Settings that decide a variable's "
        "shape, such as --arch or --moco_k, cannot change.",
        place=True,
    )
    order_rounds: int = setting(
        ROUNDS,
        "Rounds of the cipher that puts an epoch's images in random order. With TensorFlow's own 4, as "
        "earlier releases had it, batches are more even in their classes than by chance.",
        low=TENSORFLOWS_OWN,
        before=TENSORFLOWS_OWN,
    )
    init_from: str | None = setting(
        None,
        "What a new run starts from: another run's query encoder (a run directory or a "
        "checkpoint, ckpt-STEP); a backbone's .keras file; with --backbone, imagenet for "
        "keras.applications, or the name or folder of a KerasHub preset.",
    )
    on_nan: str = setting(
        "stop",
        "If loss or gradients are not finite: stop, or restore the last checkpoint and leave out "
        "the batch.",
        choices=("stop", "restore"),
        neutral=True,
    )
    max_skipped_batches: int = setting(
        3,
        "Batches that --on_nan=restore leaves out before it stops.",
        low=0,
        high=MOST_SKIPPED,
        neutral=True,
    )
    on_collapse: str = setting(
        "warn",
        "If embeddings become all alike, or the loss stays at chance for an epoch: retry from the "
        "last healthy checkpoint with a third of the rate, three times at most; stop; or warn.",
        choices=("retry", "stop", "warn"),
        neutral=True,
    )
    final_files: bool = setting(
        True,
        "Once the run is finished, write to its folder the encoder, encoder.keras, and the page of the "
        "run, report.html, if that takes at most 30 s.",
        neutral=True,
        before=False,
    )


@dataclasses.dataclass(frozen=True)
class DeviceSettings(Settings):
    """On which devices a run computes, and in which arithmetic."""

    GROUP = "Devices"

    # What counts of these two is how many replicas they make, which a run directory knows.
    strategy: str = setting(
        "auto",
        "What computes. mirrored: a replica on each accelerator; multi_worker: on those of all "
        "workers, which --workers, TF_CONFIG or SLURM name; tpu: on a TPU's cores; auto: "
        "whichever of these fits.",
        choices=STRATEGIES,
        neutral=True,
    )
    num_logical_devices: int = setting(
        1, "Split the CPU into this many devices, to try several replicas.", low=1, neutral=True
    )
    precision: str = setting(
        "float32",
        "Precision of the encoders; loss, queue and momentum update stay float32. mixed_float16 "
        "scales the loss; a step whose gradients overflow changes no weight, halves the scale, "
        "and counts.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    # Roundings as another machine's: these three do not tell one run from another.
    device: str = setting(
        "auto",
        "gpu: refuse to run without; auto: a GPU if TensorFlow can use it.",
        choices=DEVICES,
        neutral=True,
    )
    tf32: str = setting(
        "on",
        "Let GPUs round what they multiply in float32 to 10 bits, except for the loss and its "
        "logits: several times as fast.",
        choices=("on", "off"),
        neutral=True,
    )
    deterministic: bool = setting(
        False,
        "Make the same command give the same bits on a GPU too, as it does on a CPU anyway. The "
        "step is not compiled, and TensorFlow makes views one after another.",
        neutral=True,
    )
    # These two decide how sums are rounded on the same machine, so they are not neutral.
    kernels: str = setting(
        "auto",
        "What computes layers. auto: mocotf's own kernels if they are faster on this device, with "
        "the same results to a few roundings; off: TensorFlow's. MOCOTF_KERNELS=off in the "
        "environment means off in every program.",
        choices=policy.CHOICES,
    )
    intra_op_threads: int = setting(
        0, "Threads that share the work of one operator; 0: one a core.", low=0
    )
    inter_op_threads: int = setting(
        0,
        "Operators that run at once, including those that make views; 0: one a core.",
        low=0,
        neutral=True,
    )

    def check(self, given=None):
        if self.num_logical_devices > 1 and self.strategy == "one_device":
            raise UserError(
                f"--num_logical_devices={self.num_logical_devices} and --strategy=one_device "
                "contradict each other: try --strategy=mirrored"
            )


@dataclasses.dataclass(frozen=True)
class PretrainingDeviceSettings(DeviceSettings):
    """What pre-training can use beside: several processes, a TPU, XLA."""

    jit_compile: Switch = setting(
        AUTO,
        "Let XLA compile the whole step. auto: on one GPU that XLA can compile for; with several "
        "replicas it cannot, and on a CPU it is slower.",
        neutral=True,  # not given, it stays what it was when the run was begun
        before=False,
    )
    workers: tuple[str, ...] | None = setting(
        None, "host:port of each process of the run, the chief first; the same on all.", place=True
    )
    worker_index: int | None = setting(None, "Place of this process in --workers.", low=0, place=True)
    worker_timeout: int = setting(
        1800,
        "Seconds that a worker waits for the others, at the start or in a step, before it gives up.",
        low=1,
        neutral=True,
    )
    tpu: str | None = setting(None, "Name or address of a TPU; local on a TPU VM.", place=True)
    check_replicas_every: int = setting(
        0,
        "Steps between checks that all replicas hold the same bits; 0 for none.",
        low=0,
        neutral=True,
    )

    def check(self, given=None):
        super().check(given)
        if self.jit_compile is True and self.deterministic:
            raise UserError(
                "--jit_compile and --deterministic contradict each other: Keras has XLA compile "
                "nothing that is to be deterministic; drop one of them"
            )


class TrainingSettings(typing.NamedTuple):
    """The settings of every command that trains."""

    optimisation: OptimisationSettings
    run: RunSettings
    devices: DeviceSettings
