"""A stand-in of W&B's server, for what its library asks of one while a run goes on."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer

ME = {"name": "me"}
VIEWER = {
    "id": "1",
    "entity": "me",
    "username": "me",
    "email": "",
    "flags": "{}",
    "teams": {"edges": []},
}


class Server:
    """Keeps what it is sent; entered, it answers at `url`, each time at the same one.

    Attributes:
        runs: id of a run → what it has: "history", a list of lines of JSON; "summary", "config", a text
            of JSON; "exit", its exit code.
    """

    def __init__(self):
        self.runs = {}
        self._port = 0

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"runs": self.runs})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._port = self._server.server_port
        self.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    runs: dict

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = {}
        if self.path.endswith("/file_stream"):
            self._keep(self.runs[self.path.split("/")[-2]], json.loads(content))
        elif self.path.endswith("/graphql"):
            asked = json.loads(content)
            operation = asked["query"].replace("{", "(").partition("(")[0].split()[1]
            ask = getattr(self, f"_{operation}", lambda asked: None)
            answer = {"data": ask(asked.get("variables") or {})}
        self._answer(json.dumps(answer).encode())

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(b"")

    def log_message(self, *_):
        """Says nothing."""

    def _answer(self, content):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked may be killed
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _keep(self, run, sent):
        files = sent.get("files", {})
        if history := files.get("wandb-history.jsonl"):
            run["history"][history["offset"] :] = history["content"]
        if summary := files.get("wandb-summary.json"):
            run["summary"] = summary["content"][-1]
        if sent.get("complete"):
            run["exit"] = sent["exitcode"]

    def _Viewer(self, asked):  # noqa: N802  (all these: as W&B calls them)
        return {"viewer": VIEWER}

    def _ServerFeaturesQuery(self, asked):  # noqa: N802
        return {"serverInfo": {"features": []}}

    def _RunResumeStatus(self, asked):  # noqa: N802
        bucket, run = None, self.runs.get(asked["name"])
        if run:
            bucket = {
                "name": asked["name"], "displayName": run["name"], "config": run["config"],
                "summaryMetrics": run.get("summary", "{}"), "wandbConfig": '{"t": 1}',
                "historyLineCount": len(run["history"]), "historyTail": json.dumps(run["history"][-1:]),
                "eventsLineCount": 0, "eventsTail": "[]", "logLineCount": 0, "tags": [], "notes": "",
            }  # fmt: skip
        return {"model": {"name": asked["project"], "entity": ME, "bucket": bucket}}

    def _UpsertBucket(self, asked):  # noqa: N802
        name, new = asked["name"], asked["name"] not in self.runs
        run = self.runs.setdefault(name, {"history": [], "config": "{}", "name": name})
        run["project"] = asked["project"]
        run["name"] = asked.get("displayName") or run["name"]
        run["config"] = asked.get("config") or run["config"]
        bucket = {
            "id": name, "name": name, "displayName": run["name"], "description": "",
            "config": run["config"], "sweepName": None, "historyLineCount": len(run["history"]),
            "project": {"id": "1", "name": run["project"], "entity": ME},
        }  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def _CreateRunFiles(self, asked):  # noqa: N802
        url = f"http://{self.headers['host']}/files"
        files = [{"name": name, "uploadUrl": url} for name in asked["files"]]
        return {"createRunFiles": {"runID": asked["run"], "uploadHeaders": [], "files": files}}
