"""Nothing that takes long is done in silence, by any command."""

import pytest

from tests import processes
from tests.speaking import SILENT
from tests.tiny import ARCH
from tests.trained import OPTIONS

SMALL = "--epochs=1 --batch_size=24"
# In their order: some take what one before has written.
COMMANDS = [
    f"train {' '.join(OPTIONS)} --arch={ARCH} --steps=2 --data_dir={{pictures}} "
    "--model_dir={out}/run",
    f"train --data_dir={{pictures}} --dataset=folder --recipe=auto --minutes=1 --arch={ARCH} --steps=2 "
    "--model_dir={out}/auto",
    "knn --model_dir={run} --data_dir={pictures}",
    "linear --cache_features --pretrained={run} --data_dir={pictures}",
    f"linear {SMALL} --pretrained={{run}} --data_dir={{pictures}} --model_dir={{out}}/linear",
    f"finetune {SMALL} --pretrained={{run}} --data_dir={{pictures}} --model_dir={{out}}/finetune",
    "predict --model_dir={out}/finetune --data_dir={pictures} --out={out}/labels.csv",
    "embed --model_dir={run} --data_dir={pictures} --out={out}/vectors.npz",
    "search --index={out}/vectors.npz --html={out}/search.html {pictures}/val/red/0.png",
    "export --model_dir={run} --export_dir={out}/serving",
    "convert --to=keras {run} {out}/encoder.keras",
    "convert --to=torch {run} {out}/moco.pth",
    "convert {out}/moco.pth {out}/again --image_size=32",
    "preview --dataset=folder --data_dir={pictures} --image_size=32 --out={out}/views.png",
    "report {run} --data_dir={pictures} --out={out}/report.html",
    "detect --recipe=demo_detection --steps=2 --batch_size=4 --train_images=8 --test_images=4 "
    "--pretrained={run} --model_dir={out}/detect",
    "segment --recipe=demo_segmentation --steps=2 --batch_size=4 --train_images=8 --test_images=4 "
    "--pretrained={run} --model_dir={out}/segment",
]


def silent(command, trained, out):
    """Returns what a command does in no phase, lines."""
    places = {"run": trained / "run", "pictures": trained / "pictures", "out": out}
    done = processes.succeed("tests/speaking.py", *command.format(**places).split())
    return sorted({line for line in done.err.splitlines() if line.startswith(SILENT)})


def test_a_look_at_a_folder_is_not_silent(trained, tmp_path):
    assert silent("check_data --data_dir={pictures}", trained, tmp_path) == []


@pytest.mark.slow
def test_no_command_is_silent_where_it_may_be_slow(trained, tmp_path):
    found = {command: silent(command, trained, tmp_path) for command in COMMANDS}
    assert {command: lines for command, lines in found.items() if lines} == {}
