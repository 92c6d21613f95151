"""Notebooks and programs of examples/: as committed they show what they did, and they do it again."""

import contextlib
import json
import os
import pathlib
import re

import pytest

from tests import processes
from tests.commands import results
from tests.processes import LIMIT
from tests.processes import ROOT
from tests.tiny import ARCH

EXAMPLES = pathlib.Path(ROOT, "examples")
HERE = {"PYTHONPATH": ROOT}
# Of each notebook the folder of its last run, and what takes minutes → the same in seconds.
NOTEBOOKS = {
    "quickstart.ipynb": (
        "mine",
        {
            "epochs=10": "epochs=1, width=0.125",
            '"steps": 150': '"steps": 2',
            "steps=20": 'steps=2, arch="resnet10", width=0.125',
        },
    ),
    "keras_backbone.ipynb": ("backbone", {"epochs=12": "epochs=1", "epochs=15": "steps=2"}),
}
LONG_RUN = f"""
import mocotf
run = mocotf.pretrain(
    "pictures", "run", recipe="none", arch="{ARCH}", image_size=16, moco_k=48, bn_splits=2,
    batch_size=24, steps=1_000_000, log_every=1, knn_every=0, checkpoint_every=1_000_000,
    final_files=False,
)
"""
SAVED = """
import os
assert 0 < run.metrics[-1]["step"] < 1_000_000
assert os.path.exists(f"{run.path}/checkpoints/ckpt-{run.metrics[-1]['step']}.index")
"""


MISTAKE = 'mocotf.pretrain("pictures", "other", steps=2.5)'


def code_of(name):
    """Returns the code cells of a notebook."""
    cells = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_committed_as_it_ran_from_top_to_bottom(name):
    cells = code_of(name)
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert "error" not in [output["output_type"] for output in outputs]
    assert any("image/" in kind for output in outputs for kind in output.get("data", ()))
    text = "".join(line for output in outputs for line in output.get("text", ()))
    assert "kNN" in text and not re.search(r"site-packages|/home/|/tmp/|Traceback|Warning|\x1b", text)
    assert not re.search(r"^[EIW]\d{4} ", text, re.MULTILINE)  # TensorFlow's notices
    shown = [output["data"]["text/plain"] for output in outputs if "data" in output]
    assert any(re.fullmatch(r"took (\d+ s|\d*:?\d+:\d\d)", "".join(text)) for text in shown)
    assert os.path.getsize(EXAMPLES / name) < 1_000_000


def test_every_example_has_a_test():
    assert {path.name for path in EXAMPLES.iterdir()} == {*NOTEBOOKS, *PROGRAMS}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    import nbclient
    import nbformat

    run, changes = NOTEBOOKS[name]
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    for old, new in changes.items():
        (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source)
        cell.source = cell.source.replace(old, new)
    for variable, value in HERE.items():
        monkeypatch.setenv(variable, value)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=LIMIT, resources=where).execute()
    assert results(tmp_path / "runs" / run)["steps"] == 2


@contextlib.contextmanager
def kernel(folder):
    """Starts a Jupyter kernel in a folder; gives its manager and its client."""
    import jupyter_client

    manager = jupyter_client.KernelManager()
    manager.start_kernel(cwd=str(folder), env=os.environ | HERE)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LIMIT)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def messages(client, sent):
    """Yields what a cell has said, by the number of its request, until it is done."""
    while True:
        message = client.get_iopub_msg(timeout=LIMIT)
        if message["parent_header"].get("msg_id") == sent:
            yield message
            if message["content"].get("execution_state") == "idle":
                return


@pytest.mark.slow
def test_an_interrupted_cell_saves_the_run_and_returns_it(trained, tmp_path):
    (tmp_path / "pictures").symlink_to(trained / "pictures")
    records = tmp_path / "run" / "metrics.jsonl"
    with kernel(tmp_path) as (manager, client):
        sent = client.execute(LONG_RUN)
        processes.wait_until(lambda: records.exists() and len(records.read_text().splitlines()) > 1000)
        manager.interrupt_kernel()
        outputs = [*messages(client, sent)]
        told = client.execute_interactive(SAVED, timeout=LIMIT)
        assert told["content"]["status"] == "ok", told
        wrong = client.execute_interactive(MISTAKE, timeout=LIMIT)
        assert wrong["content"]["traceback"] == ["UserError: steps=2.5: expected a whole number from 1"]
    kinds = [one["msg_type"] for one in outputs]
    assert kinds.count("display_data") == 1 and "error" not in kinds
    shown = [one["content"]["data"]["text/plain"] for one in outputs if "data" in one["content"]]
    assert any("training" in text for text in shown) and shown[-1].startswith("took "), shown
    said = "".join(one["content"].get("text", "") for one in outputs)
    assert "saved at step" in said and "acc1" not in said  # which is in the one output


def own_folder(pictures, folder):
    yield pictures, "run", "--minutes=1"
    assert {"report.html", "vectors.npz"} <= {*os.listdir(folder / "run")}


def keras_fit(pictures, folder):
    yield pictures, "encoder.keras", "--epochs=1", "--batch_size=16"
    assert (folder / "encoder.keras").exists()


def serve_embeddings(pictures, folder):
    run = pictures.parent / "run"
    processes.succeed("export", f"--model_dir={run}", f"--export_dir={folder / 'served'}")
    yield "served", pictures / "val/red/0.png", pictures / "val/blue/0.png"


PROGRAMS = {f"{one.__name__}.py": one for one in (own_folder, keras_fit, serve_embeddings)}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs(name, trained, tmp_path):
    case = PROGRAMS[name](trained / "pictures", tmp_path)
    done = processes.python(EXAMPLES / name, *next(case), cwd=tmp_path, env=HERE).wait()
    assert done.code == 0 and ("1.000" in done.out or name != "serve_embeddings.py"), done
    assert next(case, None) is None
