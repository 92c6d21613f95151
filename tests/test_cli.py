"""What every command asks of its machine."""

import os
import platform
import subprocess
import sys

import pytest

ASK = """
import mocotf.cli
from tensorflow.python.framework import test_util
print(test_util.IsMklEnabled())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="TensorFlow decides elsewhere")
@pytest.mark.parametrize(
    ("said", "expected"), [({}, "True"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "False")]
)
def test_onednn_is_on_unless_the_environment_says_otherwise(said, expected):
    others = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    answer = subprocess.run(
        [sys.executable, "-c", ASK], env=others | said, capture_output=True, text=True
    )
    assert answer.stdout.strip() == expected, answer.stderr
