"""What every command asks of its machine."""

import platform

import pytest

from tests import processes

ASK = """
import os
os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
os.environ.update({said})
import mocotf.cli
from tensorflow.python.framework import test_util
print(test_util.IsMklEnabled())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="TensorFlow decides elsewhere")
@pytest.mark.parametrize(
    ("said", "expected"), [({}, "True"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "False")]
)
def test_onednn_is_on_unless_the_environment_says_otherwise(said, expected):
    answer = processes.python("-c", ASK.format(said=said)).wait()
    assert answer.out.strip() == expected, answer.err
