r"""Pre-trains an image encoder by Momentum Contrast.

    python -m mocotf.train --flagfile=flags/demo.cfg --model_dir=runs/demo
    python -m mocotf.train --flagfile=flags/v2.cfg --dataset=folder --data_dir=DIR --model_dir=runs/v2

    python -m mocotf.train --dataset=folder --data_dir=DIR --model_dir=runs/mine --minutes=10

The third chooses settings that fit the pictures in DIR. The same command again, or --model_dir alone,
resumes a run that was stopped.
"""

from mocotf.cli import command  # first: it keeps TensorFlow's start-up notices off the terminal

# isort: split
import os
import shlex

from absl import flags

from mocotf.api.final_files import ENCODER
from mocotf.api.final_files import PAGE
from mocotf.api.pretrain import SETTINGS
from mocotf.api.pretrain import pretrain
from mocotf.cli import settings_flags

FLAGS = flags.FLAGS
settings_flags.define(*SETTINGS)


def main():
    results = pretrain(settings_flags.asked())
    if results:  # those of the chief
        print(next_commands(FLAGS.model_dir, FLAGS.dataset == "folder" and FLAGS.data_dir))
        command.print_json(results)


def next_commands(run, pictures):
    """Returns what may be typed next, ready to paste.

    Args:
        run: path of the run directory.
        pictures: path of a folder of images; falsy where there is none.
    """
    there = [name for name in (ENCODER, PAGE) if os.path.exists(os.path.join(run, name))]
    run, name = shlex.quote(run), shlex.quote(os.path.basename(os.path.abspath(run)))
    commands = [
        f"tensorboard --logdir={run}",
        *([] if PAGE in there else [f"python -m mocotf.report {run} --out={name}.html"]),
        f"python -m mocotf.export --model_dir={run} --export_dir=serving/{name}",
    ]
    if pictures:
        embed = f"python -m mocotf.embed --model_dir={run} --data_dir={shlex.quote(pictures)}"
        commands.insert(-1, f"{embed} --out={name}.npz")
    has = f", with {' and '.join(there)} to open" if there else ""
    return "\n  ".join([f"\nThe run is in {run}{has}. Next, for instance:", *commands])


if __name__ == "__main__":
    flags.register_validator("model_dir", bool, "expected a folder, such as --model_dir=runs/mine")
    command.run(main, resumes=True)
