"""The program that runs the commands on backbones of many kinds; it is run as a whole in
tests/test_backbones.py."""

import zipfile

from tests import processes
from tools.matrix import measures
from tools.matrix import table


def test_a_backbone_and_pictures_that_are_not_there_are_told(tmp_path):
    processes.refuse("tools/backbones.py", ["--only=it"], "--only=it: expected some of MobileNetV2, ")
    flags = "--only=subclassed", "--nochecks", "--knn", f"--pictures={tmp_path / 'no.zip'}", "--json"
    results = f"--results={tmp_path / 'results.json'}"
    found = processes.succeed("tools/backbones.py", *flags, results).json["backbones"]
    assert found["subclassed"]["no_knn"] == f"{tmp_path / 'no.zip'}: is not there"
    more = processes.succeed("tools/backbones.py", *flags, results, "--only=Xception").json["backbones"]
    assert more["subclassed"] == found["subclassed"] and "32 x 32" in more["Xception"]["no_knn"]


def test_of_a_zip_the_same_pictures_of_each_class_are_taken(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for i in range(300):
            for folder in ("train/cat", "train/dog", "test/cat", "test/dog"):
                archive.writestr(f"{folder}/{i}.jpg", "")
    taken = []
    for name in ("a", "b"):
        measures.unpack_some(tmp_path / "all.zip", tmp_path / name)
        taken.append(
            sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*.jpg"))
        )
    assert taken[0] == taken[1] and len(taken[0]) == 2 * (measures.TRAIN + measures.TEST)


def test_what_failed_is_in_the_table():
    found = {
        "good": {
            "image_size": 32, "parameters": 2_260_000, "step_seconds": 0.129,
            "differs_after_resume": [], "exported_differs_by": 2e-7, "keras_file_differs_by": None,
            "knn_before": 10.04, "knn_after": 20.0,
        },
        "bad": {"image_size": 64, "failed": "mocotf.train: error: why"},
    }  # fmt: skip
    *_, good, bad = table.markdown(found, ["good", "unknown", "bad"]).splitlines()
    assert good == "| good | 32 | 2.26 | 129 | yes | 2e-07 | – | 10.0 → 20.0 |"
    assert bad == "| bad | 64 | failed: mocotf.train: error: why | – | – | – | – | – |"
    found["good"]["differs_after_resume"] = ["variable a", "variable b"]
    assert "resumed, bit for bit no: 2 differences" in table.line(found["good"])
