"""What a transfer trains, and on what: the part in which detection and segmentation differ."""

import abc

from mocotf.data.bad_images import BadImages


class Job(abc.ABC):
    """Images with what is to be learned of them, and the model that learns it.

    Args:
        images: a `TransferDataset`.
        most_bad: share of images that may fail to decode.
        precision: Keras dtype policy.
        network: further arguments of the model, a dictionary.

    Attributes:
        name: of the command, as "detect"; results are called by it.
        accuracies: name → heading of what is measured, in percent; the first, of
            `evaluation.measures.MEASURES`, decides which checkpoint is the best.
        images, precision, network: as given.
        bad_images: a `BadImages`.
    """

    name: str
    accuracies: dict[str, str]

    def __init__(self, images, *, most_bad=0.1, precision="float32", network=None):
        self.images = images
        self.precision = precision
        self.network = network or {}
        self.bad_images = BadImages(None, images.size + images.test_size, most_bad)

    def facts(self):
        """Returns name → value of what decides a run beside its flags, as how many images there are."""
        images = self.images
        return {
            "images": images.size,
            "test_images": images.test_size,
            "classes": len(images.class_names),
        }

    @abc.abstractmethod
    def build(self, start, seed):
        """Returns a new `Trainer`, which has `trained_variables`.

        Args:
            start: a `Start`.
            seed: of new weights.
        """

    @abc.abstractmethod
    def batches(self, view, order, first_step):
        """Returns the endless dataset of training batches, a pure function of seed and step.

        Args:
            view: has mean and std of images.
            order: an `Order`.
            first_step: of the run, whose batch comes first.
        """

    @abc.abstractmethod
    def measure(self, model, view):
        """Returns name → percent, float, of a model on the test images; `accuracies` among them."""

    @abc.abstractmethod
    def picture(self, model, view):
        """Returns a picture of some test images with truth and answers, uint8 `[height, width, 3]`;
        None if none of those to be shown decodes."""

    def finish(self, model, start):
        """Hands the trained model on, as it is asked to; returns name → value for the results."""
        del model, start
        return {}
