"""Makes the pictures of docs/: what commands of mocotf draw, print and show in a browser.

    make demo
    python -m mocotf.detect --flagfile=flags/demo_detection.cfg --pretrained=runs/demo \
        --model_dir=runs/demo_detection
    python -m mocotf.segment --flagfile=flags/demo_segmentation.cfg --pretrained=runs/demo \
        --model_dir=runs/demo_segmentation
    python tools/doc_pictures.py --runs=runs

--only=views,search makes some. Terminals need tmux, pages Chromium and chromedriver. No picture is
larger than 80 kB; what is larger is brought there by fewer colours, or more compression.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mocotf.cli import command  # isort: skip  (first: it keeps TensorFlow's notices off the terminal)

import io
import shlex
import shutil
import subprocess
import time

from absl import flags
from PIL import Image

from mocotf.errors import UserError
from tools.pictures import screens

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MOST = 80_000  # bytes
PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png",
    "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png",
    "motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
FOLDER = "/tmp/mocotf"  # where commands are run: some print where they are
CHARTS = "loss%7Cacc1%7Cknn_top1%7Cembedding_std"
CLOSE = """
[...document.querySelectorAll('button')].find(b => b.textContent.includes('Settings')).click();
"""
MAP = "return document.querySelector('.map').explorer.visible?.length > 0"

FLAGS = flags.FLAGS
flags.DEFINE_string("runs", "runs", "Folder with the runs demo, demo_detection, demo_segmentation.")
flags.DEFINE_string("out", "docs/figures", "Folder that the pictures are written to.")
flags.DEFINE_list("only", None, "Pictures to make, by name; all by default.")


def run(folder, *words):
    """Runs a command of mocotf in a folder; raises a `UserError` with the end of what it said."""
    environment = os.environ | {"PYTHONPATH": ROOT}
    words = [sys.executable, "-m", *words]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{shlex.join(words[2:])}: {(done.stderr or done.stdout).strip()[-500:]}")


def photographs():
    """Returns the folder of scikit-image's photographs."""
    import skimage

    return os.path.join(os.path.dirname(skimage.__file__), "data")


def furnish(folder):
    """Makes a new folder where a user might work: with pictures, recipes, tools and a run."""
    if os.path.exists(folder):
        raise UserError(
            f"{folder}: is there already; expected to make it; try another time, or remove it"
        )
    os.makedirs(f"{folder}/my_photos")
    for name in PHOTOGRAPHS:
        os.symlink(os.path.join(photographs(), name), f"{folder}/my_photos/{name}")
    for name in ("flags", "tools"):
        os.symlink(f"{ROOT}/{name}", f"{folder}/{name}")
    os.makedirs(f"{folder}/runs")
    os.symlink(os.path.abspath(f"{FLAGS.runs}/demo"), f"{folder}/runs/demo")


def save(image, name):
    """Writes an RGB image, .png or .jpg, with as many colours, or as little compression, as fit."""
    image = image.convert("RGB")
    for effort in (256, 128, 64, 32) if name.endswith(".png") else (90, 80, 70, 60, 50, 40):
        file = io.BytesIO()
        if name.endswith(".png"):
            image.quantize(effort, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        else:
            image.save(file, "JPEG", quality=effort, optimize=True)
        if len(file.getvalue()) <= MOST:
            break
    else:
        raise UserError(f"{name}: {len(file.getvalue()):,} bytes; expected at most {MOST:,}")
    with open(os.path.join(FLAGS.out, name), "wb") as out:
        out.write(file.getvalue())


def newest(run_name, kind):
    """Returns the last picture of a kind that a run drew."""
    folder = os.path.join(FLAGS.runs, run_name, "pictures")
    steps = [n.rpartition("-")[2].split(".")[0] for n in os.listdir(folder) if n.startswith(kind)]
    return Image.open(os.path.join(folder, f"{kind}-{max(map(int, steps))}.jpg"))


def views(folder):
    place = "--dataset=folder", "--data_dir=my_photos"
    run(folder, "mocotf.preview", "--recipe=v2", *place, "--image_size=96")
    save(Image.open(f"{folder}/views.png"), "views.jpg")


def neighbours(folder):
    del folder
    before = Image.open(os.path.join(FLAGS.runs, "demo/pictures/neighbours-0.jpg"))
    save(before, "neighbours_before.jpg")
    save(newest("demo", "neighbours"), "neighbours_after.jpg")


def detection(folder):
    del folder
    picture = newest("demo_detection", "detect")
    save(picture.crop((0, 0, picture.width, picture.height // 4)).resize((1000, 165)), "detection.jpg")


def segmentation(folder):
    del folder
    picture = newest("demo_segmentation", "segment")
    save(
        picture.crop((0, 0, picture.width, picture.height // 4)).resize((1000, 109)), "segmentation.png"
    )


def report(folder):
    page = f"{folder}/report.html"
    run(folder, "mocotf.report", "runs/demo", f"--out={page}")
    with screens.browser(1000, 900) as driver:
        driver.get(f"file://{page}")
        screens.wait(driver, MAP)
        save(screens.element(driver, ".map"), "report.png")


def search(folder):
    run(folder, "mocotf.embed", "--model_dir=runs/demo", "--data_dir=my_photos", "--out=vectors.npz")
    query = "my_photos/motorcycle_left.png"
    run(folder, "mocotf.search", "--index=vectors.npz", "--html=search.html", query)
    with screens.browser(1000, 740) as driver:
        driver.get(f"file://{folder}/search.html")
        time.sleep(1)
        save(screens.window(driver), "search.jpg")


def tensorboard(folder):
    with screens.tensorboard(f"{folder}/runs") as url, screens.browser(1300, 900) as driver:
        driver.get(f"{url}/?darkMode=false&tagFilter={CHARTS}#timeseries")
        screens.wait(driver, "return document.querySelectorAll('card-view svg').length > 3", 60)
        driver.execute_script(CLOSE)
        time.sleep(8)  # curves are drawn one after another
        save(screens.window(driver), "tensorboard.png")


def backbone(folder):
    words = (
        "mocotf train --recipe=v2 --dataset=folder --data_dir=my_photos --image_size=32 --batch_size=16"
        " --bn_splits=2 --moco_k=16 --backbone=keras.applications:MobileNetV2 --model_dir=runs/mobile"
        " --steps=8"
    )
    terminal(folder, words, "backbone.svg", first=3)


def serving(folder):
    words = "mocotf export --model_dir=runs/demo --export_dir=serving/demo && find serving -type f"
    terminal(folder, words, "serving.svg")


def workers(folder):
    words = (
        "python tools/launch_local.py -n 2 -- --flagfile=flags/demo.cfg --steps=20 --log_every=5 "
        "--model_dir=runs/two"
    )
    terminal(folder, words, "workers.svg")


def terminal(folder, words, name, first=None):
    """Writes what a terminal shows after a command, or only the first lines of it."""
    text = screens.terminal(folder, words, first)
    with open(os.path.join(FLAGS.out, name), "w", encoding="utf-8") as out:
        out.write(text)


PICTURES = (
    views, neighbours, detection, segmentation, report, search, tensorboard, backbone, serving,
    workers,
)  # fmt: skip


def main():
    made = {picture.__name__: picture for picture in PICTURES}
    for name in FLAGS.only or made:
        if name not in made:
            raise UserError(f"--only={name}: no such picture; expected some of {', '.join(made)}")
        furnish(FOLDER)
        try:
            made[name](FOLDER)
        finally:
            shutil.rmtree(FOLDER)
        print(name, flush=True)


if __name__ == "__main__":
    command.run(main)
