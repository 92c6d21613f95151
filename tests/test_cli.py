"""What every command has: help for its flags, oneDNN where its machine is for that."""

import platform

import pytest
from absl import flags

from mocotf import detect
from mocotf import finetune
from mocotf import linear
from mocotf import segment
from mocotf.api.supervised import SHARED
from mocotf.cli import train_flags
from mocotf.settings import settings_of
from tests import processes

OF_TASKS = [name for cls in SHARED for name in settings_of(cls)]

ASK = """
import os
os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
os.environ.update({said})
import mocotf.cli
from tensorflow.python.framework import test_util
print(test_util.IsMklEnabled())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="TensorFlow decides elsewhere")
@pytest.mark.slow
def test_onednn_is_on_unless_the_environment_says_otherwise():
    for said, expected in (({}, "True"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "False")):
        answer = processes.python("-c", ASK.format(said=said)).wait()
        assert answer.out.strip() == expected, answer.err


@pytest.mark.parametrize(
    ("module", "count", "names"),
    [
        (train_flags, 41, ["moco_m"]),
        (detect, 41, ["annotations", "canvas", "compare", "drop_at"]),
        (segment, 41, ["crop_size", "scales", "compare", "drop_at"]),
        (linear, 31, OF_TASKS),
        (finetune, 31, OF_TASKS),
    ],
)
def test_every_flag_has_help_of_its_own(module, count, names):
    own = {flag.name: flag.help for flag in flags.FLAGS.get_key_flags_for_module(module.__name__)}
    assert len(set(own.values())) == len(own) >= count and min(map(len, own.values())) > 8
    assert own.keys() >= set(names)
