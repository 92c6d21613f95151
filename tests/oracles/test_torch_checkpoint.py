"""Sanity of the oracle: files in the original's layout."""

import io

import pytest
import torch

from tests.oracles import torch_checkpoint as checkpoint
from tests.oracles.small import assert_same_state
from tests.oracles.small import images
from tests.oracles.small import tiny
from tests.oracles.torch_moco import MoCoOracle
from tests.oracles.torch_moco import unit_rows


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_training_file(prefix):
    oracle = MoCoOracle(tiny(mlp=True), unit_rows(10, 6, 0, torch.float64), m=0.9)
    oracle.step(images(4, 0), images(4, 1), 0.1, [1, 0, 3, 2])
    stream = io.BytesIO()
    torch.save(checkpoint.training_file(oracle, "resnet50", 7, prefix), stream)
    stream.seek(0)
    content = torch.load(stream, weights_only=True)
    assert list(content) == ["epoch", "arch", "state_dict", "optimizer"]
    assert (content["epoch"], content["arch"]) == (7, "resnet50")
    state, count = content["state_dict"], len(list(oracle.encoder_q.parameters()))
    names = [f"encoder_{e}.{name}" for e in "qk" for name in oracle.encoder_q.state_dict()]
    assert list(state) == [f"{prefix}{name}" for name in ["queue", "queue_ptr", *names]]
    queue, pointer = state[f"{prefix}queue"], state[f"{prefix}queue_ptr"]
    assert (queue.shape, pointer.shape, pointer.dtype) == ((6, 10), (1,), torch.int64)
    assert state[f"{prefix}encoder_q.bn1.num_batches_tracked"] == 1
    assert content["optimizer"]["param_groups"][0]["params"] == list(range(2 * count))
    assert list(content["optimizer"]["state"]) == list(range(count))  # θq's alone

    restored = MoCoOracle(tiny(1, mlp=True), unit_rows(10, 6, 1, torch.float64), m=0.9)
    checkpoint.load_training_file(restored, content)
    for o in (oracle, restored):
        o.last = o.step(images(4, 2), images(4, 3), 0.1, [0, 2, 1, 3])
    assert torch.equal(oracle.last[1], restored.last[1])
    assert torch.equal(oracle.queue, restored.queue) and oracle.queue_ptr == restored.queue_ptr
    assert_same_state(oracle.encoder_q, restored.encoder_q, rtol=0, atol=0)
    assert_same_state(oracle.encoder_k, restored.encoder_k, rtol=0, atol=0)


def test_cleaned_file():
    encoder = checkpoint.randomise(tiny(), seed=5)
    content = checkpoint.cleaned_file(encoder, "resnet50", 200)
    assert list(content) == ["epoch", "arch", "state_dict"]
    assert list(content["state_dict"]) == [f"module.encoder_q.{n}" for n in encoder.state_dict()]
    assert len(set(encoder.bn1.weight.tolist())) == 4
    assert torch.equal(content["state_dict"]["module.encoder_q.fc.bias"], encoder.fc.bias)
