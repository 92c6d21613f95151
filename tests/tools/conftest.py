"""A small model, exported, and a server that has it."""

import os
import threading

import pytest
import werkzeug.serving

from mocotf.moco.saved_run import open_run
from mocotf.serving.export import export
from mocotf.serving.session import SessionModel
from tests.saved_run import write_run
from tools import stand_in


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """Returns the folder of the model "small", which has one version, 2."""
    run, folder = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("served") / "small"
    write_run(run)
    export(open_run(str(run)), str(folder))
    return str(folder)


@pytest.fixture(scope="session")
def model(served):
    return SessionModel(os.path.join(served, "2"))


@pytest.fixture(scope="session")
def rest_url(model):
    """Returns the address of the model, of a server that ends with the tests."""
    app = stand_in.rest(model, "small", "2")
    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/v1/models/small"
    server.shutdown()
    thread.join()
