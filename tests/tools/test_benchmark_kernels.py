"""The program that measures each kernel."""

import pytest

from tests import processes


@pytest.mark.slow
def test_each_entry_asked_for_has_a_row():
    small = "--arch=resnet10", "--image_size=32", "--batch_size=4", "--moco_k=64", "--rounds=2"
    entries = "--entry=winograd", "--entry=kernel_products"
    done = processes.succeed("tools/benchmark_kernels.py", *small, *entries, "--json")
    assert list(done.json["ratios"]) == ["winograd", "kernel_products"]
    for row in done.json["ratios"].values():
        assert 0 < row["min"] <= row["median"] <= row["max"]
