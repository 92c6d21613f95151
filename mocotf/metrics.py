"""The numbers in a run's records, each declared once: for TensorBoard, the report and the terminal."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number in the records of metrics.jsonl.

    Attributes:
        name: in the records.
        tag: of its chart in TensorBoard; "" for none.
        title, meaning: of its chart in the report, for people; "" for none.
        level, level_title: name of a level to compare with, in the records too, and what that is.
        short: name in the line on the terminal; "": it is not there.
    """

    name: str
    tag: str = ""
    title: str = ""
    meaning: str = ""
    level: str | None = None
    level_title: str = ""
    short: str = ""

    @property
    def percent(self):
        """Whether values are percentages."""
        return self.title.endswith("%")

    @property
    def measured(self):
        """Whether it is measured now and then, on held-out images: the higher the better."""
        return self.tag.startswith("evaluation/")


LOSS = Metric("loss", "pretext/loss", "Loss", "what training minimises", "chance", "chance")
OF_EVERY_RUN = (
    Metric("gradient_norm", "health/gradient_norm", "Gradient norm", "of all parameters"),
    Metric("weight_norm", "health/weight_norm"),
    Metric("lr", "schedule/lr", "Learning rate", "of the step"),
    Metric("images_per_second", "speed/images_per_second", "Images a second", "over all devices"),
    Metric("data_wait", "speed/data_wait"),
    Metric("goodput", "speed/goodput"),
)
