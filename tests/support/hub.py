"""A server on this machine that answers as the Hugging Face hub does for one data set, to which somebody pushes."""

import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from tests.conftest import ROOT

NAME = "some/texts"


class Hub:
    """Serves a version of the data set a commit, each a list of texts; a context manager.

    Whoever asks for the newest commit is told the first, then the second, …, and then always the last.
    """

    def __init__(self, versions: list[list[str]]) -> None:
        self.commits = [f"{number:040x}" for number in range(len(versions))]
        self.files = {
            commit: "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
            for commit, texts in zip(self.commits, versions, strict=True)
        }
        self.newest = iter(self.commits)
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body, headers = hub.answer(self.path.partition("?")[0])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if self.command == "GET" else b"")

            def do_HEAD(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *words: object) -> None:
                """Not to standard error."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers: of the data set's commit, its list of files, its only file; nothing else is there."""
        if path == f"/api/datasets/{NAME}":
            return 200, json.dumps({"id": NAME, "sha": next(self.newest, self.commits[-1])}).encode(), {}
        if found := re.fullmatch(f"/api/datasets/{NAME}/revision/(.+)", path):
            return 200, json.dumps({"id": NAME, "sha": found[1]}).encode(), {}
        if found := re.fullmatch(f"/api/datasets/{NAME}/tree/([^/]+)", path):
            file = {"type": "file", "path": "train.jsonl", "size": len(self.files[found[1]]), "oid": found[1]}
            return 200, json.dumps([file]).encode(), {}
        if found := re.fullmatch(f"/datasets/{NAME}/resolve/([^/]+)/train.jsonl", path):
            return 200, self.files[found[1]], {"ETag": found[1], "X-Repo-Commit": found[1]}
        return 404, b"", {"X-Error-Code": "EntryNotFound"}

    def environment(self, folder: Path) -> dict[str, str]:
        """Environment variables of a process that takes this for the hub, with its cache in `folder`."""
        address = f"http://127.0.0.1:{self.server.server_port}"
        hub = {"HF_ENDPOINT": address, "HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "0"}
        return os.environ | hub | {"NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)}

    def __enter__(self) -> "Hub":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()
