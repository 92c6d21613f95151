"""What every source of images offers, and the order in which images are drawn."""

import abc
import dataclasses

import tensorflow as tf

from mocotf.data.views.formats import MAX_PIXELS
from mocotf.errors import UserError
from mocotf.files import printable
from mocotf.tables import counted

# Of the cipher that mixes an epoch's images. After TensorFlow's own 4, where 50,000 images lie class by
# class, 7 % of neighbours are of one class instead of 10 %, and batches more even than by chance.
ROUNDS = 16
TENSORFLOWS_OWN = 4
PADDING = 498247692  # what tf.random.experimental.index_shuffle puts before its seed


@dataclasses.dataclass(frozen=True)
class Order:
    """Which images of a run a worker draws, and when.

    Step s of the run takes `batch_size` images; a worker makes an equal share of them. Within an epoch
    no image comes twice, on whatever worker.

    Attributes:
        seed: of the run.
        batch_size: global, a multiple of `workers`.
        steps_per_epoch: as `Source.steps_per_epoch` gives it.
        worker, workers: index of this worker, and how many there are.
        rounds: of the cipher that mixes them, from `TENSORFLOWS_OWN` on.
    """

    seed: int
    batch_size: int
    steps_per_epoch: int
    worker: int = 0
    workers: int = 1
    rounds: int = ROUNDS

    @property
    def share(self):
        """Images that this worker draws in a step."""
        return self.batch_size // self.workers

    def number(self, drawn):
        """Returns which image of the run, over all workers, this worker's `drawn`-th is; int64."""
        step, place = drawn // self.share, drawn % self.share
        return step * self.batch_size + self.worker * self.share + place


class Source(abc.ABC):
    """A named set of images, with labels where it has them (used for evaluation only).

    Attributes:
        name: for messages.
        size: number of training images.
        shape: (H, W) where all images are arrays of one size, None where they are encoded files.
        evaluation_sizes: (bank, queries) for kNN, (0, 0) where there are no labels.
        class_names: of the labels, in order; empty where they have none.
        bad_shards: the damaged ones of the files that hold many images, "path: reason".
        servable: whether another process can read it by its graph alone, as a data service does.
        root: folder that the names of `describe` are relative to, where they are files'; else None.
        indexed: whether each training image has an index that never changes.
        in_sequence: whether its files are divided among the workers, which read them in sequence.
        upright: whether encoded images are to be turned as their EXIF says.
        max_pixels: of an encoded image, as `DataSettings` has it.
        groups: `Groups` that positive pairs are drawn from; None: both views are of one image.
    """

    name: str
    size: int
    shape: tuple[int, int] | None = None
    evaluation_sizes: tuple[int, int] = (0, 0)
    class_names: tuple[str, ...] = ()
    bad_shards: tuple[str, ...] = ()
    servable: bool = True
    root: str | None = None
    indexed: bool = False
    in_sequence: bool = False
    upright: bool = False
    max_pixels: int = MAX_PIXELS
    groups = None

    def found(self):
        """Returns what there is, a line for people; it may look into some files."""
        parts = [counted(self.size, "image")]
        if self.class_names:
            parts.append(counted(len(self.class_names), "class"))
        if self.evaluation_sizes[1]:
            parts.append(f"{self.evaluation_sizes[1]:,} held out")
        return ", ".join(parts)

    def digest(self):
        """Returns a text that stands for the images, wherever they lie: others have another; "" where
        nothing but their number is known."""
        return ""

    def contents(self):
        """Returns what all images are made of, those held out too: (how many files, or rows of a table;
        an iterator over their names, bytes, in order, each with a function without arguments).

        The function yields the content in pieces, bytes; any exception but a `UserError` means that it
        cannot be read.
        """
        raise NotImplementedError(f"{self.name} has no files")

    def steps_per_epoch(self, batch_size, workers=1):
        """Returns how many whole batches an epoch has for `workers` workers."""
        del workers
        return self.size // batch_size

    @abc.abstractmethod
    def draw(self, order, first_step=0):
        """Returns the endless dataset of the training images that a worker draws, in random order.

        Args:
            order: an `Order`.
            first_step: of the run, whose images come first: a run is resumed without replay.

        Returns:
            Dataset of (key int64, handle). The key stands for this image in this epoch, and all that is
            drawn for its views is drawn by it; `load` makes an image of a handle.
        """

    @abc.abstractmethod
    def load(self, handle):
        """Returns the image: encoded bytes, or uint8 `[H, W, 3]` if `shape`. May fail in the graph."""

    def label(self, handle):
        """Returns the label of an image, int64 scalar; negative where it has none."""
        del handle
        return tf.constant(-1, tf.int64)

    def index(self, handle):
        """Returns the index of a training image, int64 in [0, size), where they are `indexed`."""
        raise NotImplementedError(f"{self.name} has no indices")

    def group_numbers(self, by=None):
        """Returns the number of each training image's group, int32 `[size]`.

        Args:
            by: what names a group, see `groups.group_namer`; None: the source says it.

        Raises:
            UserError: the images have no groups.
        """
        del by
        raise UserError(
            f"--positives=group with --dataset={self.name}: its images have no groups; expected "
            "--dataset=folder"
        )

    @abc.abstractmethod
    def describe(self, handle):
        """Returns what a message calls the image, a string tensor."""

    def class_name(self, label):
        """Returns what a message calls the class of a label, an int."""
        return printable(self.class_names[label]) if 0 <= label < len(self.class_names) else str(label)

    def sample(self, n):
        """Returns the dataset of the handles of n training images, always the same, to look at."""
        return (
            self.draw(Order(seed=0, batch_size=n, steps_per_epoch=1))
            .take(n)
            .map(lambda _, handle: handle)
        )

    def evaluation(self, split):
        """Returns a finite dataset of (handle, label int64), in fixed order.

        Args:
            split: "bank" or "queries".
        """
        raise NotImplementedError(f"{self.name} has no labels")


class RandomAccessSource(Source):
    """A source whose images are found by index, their handle, so that any position costs the same.

    Keys are numbers of images in the run: order and draws are the same for any number of workers.
    """

    indexed = True

    def index(self, handle):
        return tf.cast(handle, tf.int64)

    def draw(self, order, first_step=0):
        return draw_by_index(order, first_step, self.size)


def draw_by_index(order, first_step, size):
    """Returns the dataset of (key, index) of `size` images, as `Source.draw` has it."""
    per_epoch = order.steps_per_epoch * order.batch_size

    def locate(drawn):
        number = order.number(drawn)
        epoch, position = number // per_epoch, number % per_epoch
        return number, shuffled(order, epoch, position, size)

    def drawn_in(step):
        return tf.data.Dataset.range(step * order.share, (step + 1) * order.share)

    # A range of steps is what a data service divides among its workers: whole batches.
    steps = tf.data.Dataset.range(tf.constant(first_step, tf.int64), tf.int64.max)
    return steps.flat_map(drawn_in).map(locate)


def shuffled(order, epoch, position, size):
    """Returns the image index at `position` of the random order of `epoch`; a bijection."""
    key = tf.stack([tf.cast(order.seed, tf.int64), tf.cast(epoch, tf.int64)])
    # Of its key, the operator reads the lowest byte for small sets: epochs 0 and 256 would agree.
    key = tf.random.stateless_uniform([2], key, minval=None, maxval=None, dtype=tf.int64)
    return tf.raw_ops.RandomIndexShuffle(
        index=position,
        seed=tf.pad(key, [[1, 0]], constant_values=PADDING),
        max_index=tf.cast(size - 1, tf.int64),
        rounds=order.rounds,
    )
