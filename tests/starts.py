"""Commands that start from a pre-trained run, called in this process."""

import pytest
from absl.testing import flagsaver


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Returns the folder of a run whose encoder is small, with the stages of a ResNet."""
    from tests.saved_run import write_run  # late: Bazel gives the tests of one package no other
    from tests.tiny import STAGES

    folder = tmp_path_factory.mktemp("pretrained") / "run"
    write_run(folder, arch=STAGES, stem="small")
    return folder


@pytest.fixture
def call(pretrained):
    """Returns a function that runs a command's `main` on `pretrained`; flags are restored after it."""
    from tests.commands import set_flags

    def call(module, *arguments, model_dir=None):
        where = [f"--model_dir={model_dir}"] if model_dir else []
        set_flags("--json", f"--pretrained={pretrained}", *where, *arguments)
        module.main()

    with flagsaver.flagsaver():
        yield call


@pytest.fixture(scope="session")
def mobile_net(once):
    """Returns the folder of a run of a small MobileNetV2, trained for two steps."""
    from tests.processes import succeed

    options = ["--dataset=patches", "--image_size=32", "--batch_size=8", "--moco_k=16", "--steps=2"]
    options += ["--backbone=keras.applications:MobileNetV2", '--backbone_args={"alpha": 0.35}']

    def train(folder):
        succeed("train", *options, "--knn_every=0", "--nofinal_files", f"--model_dir={folder / 'run'}")

    return once("mobile-net", train) / "run"
