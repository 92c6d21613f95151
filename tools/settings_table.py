"""Prints docs/reference/settings.md: every setting of the commands that train and measure.

python tools/settings_table.py > docs/reference/settings.md
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

from mocotf.data import settings as data
from mocotf.evaluation import settings as evaluation
from mocotf.optim import settings as optim
from mocotf.pretraining.recipe import RecipeSettings
from mocotf.pretraining.settings import MODEL
from mocotf.settings import settings_of
from mocotf.training import settings as training
from mocotf.transfer import settings as transfer

HEADER = """# Settings

Each setting is a flag of the commands named, and a field of the class named, which Python code may make
itself. A resumed run keeps the settings that are not given; only those marked ↺ may be given anew.
Made by `python tools/settings_table.py > docs/reference/settings.md`.
"""
TRAIN = "train"
FITS = "linear, finetune, detect, segment"
CLASSES = (  # (commands, classes)
    (TRAIN, (RecipeSettings,)),
    ("all that read images", (data.DataSettings,)),
    (f"{TRAIN}, linear, finetune", (data.VerifySettings,)),
    (TRAIN, (data.ViewSettings, data.PairSettings, *MODEL, evaluation.MonitorSettings)),
    (f"{TRAIN}, {FITS}", (optim.OptimisationSettings, training.RunSettings, training.DeviceSettings)),
    (TRAIN, (training.PretrainingRunSettings, training.PretrainingDeviceSettings)),
    ("knn", (evaluation.KNNSettings, evaluation.UntrainedSettings)),
    (FITS, (evaluation.PretrainedSettings,)),
    ("linear, finetune", (evaluation.ProtocolSettings,)),
    ("linear", (evaluation.LinearSettings,)),
    ("finetune, detect, segment", (optim.LayerRateSettings,)),
    ("detect, segment", (transfer.TransferSettings, transfer.ComparisonSettings)),
    ("detect", (transfer.DetectionSettings,)),
    ("segment", (transfer.SegmentationSettings,)),
)


def main():
    print(table(), end="")


def table():
    """Returns the document."""
    known, parts = set(), [HEADER]
    for commands, classes in CLASSES:
        for cls in classes:
            found = {name: one for name, one in settings_of(cls).items() if name not in known}
            known |= found.keys()
            if found:
                parts.append(f"\n## {cls.GROUP}: {commands}\n\n`{cls.__module__}.{cls.__name__}`\n\n")
                parts.append("| setting | default | values | |\n|---|---|---|---|\n")
                parts += [row(name, one) for name, one in found.items()]
    return "".join(parts)


def row(name, one):
    """Returns the line of a setting."""
    default = "" if one.default in (None, ()) else f"`{one.text(one.default)}`"
    words = (one.help + (" ↺" if one.neutral else "")).replace("|", r"\|")
    return f"| `{name}` | {default} | {one.expected} | {words} |\n"


if __name__ == "__main__":
    command.run(main)
