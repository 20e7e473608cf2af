"""A hub on 127.0.0.1: the two questions of huggingface_hub that a pull asks, with faults on request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "a" * 40


@dataclass
class FakeRepo:
    """Files of the one repository, and how the server misbehaves."""

    repo: str
    files: dict[str, bytes]
    large: tuple[str, ...] = ()  # in large-file storage: the hub states their sha256
    licence: str = "mit"
    wrong: dict[str, bytes] = field(default_factory=dict)  # sent in place of the true content
    break_after: dict[str, int] = field(default_factory=dict)  # bytes, once per entry
    ranges: list[tuple[str, str]] = field(default_factory=list)  # (file, Range header) of every request for a file

    def info(self) -> dict:
        siblings = []
        for name, data in self.files.items():
            entry: dict = {"rfilename": name, "size": len(data)}
            entry["blobId"] = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
            if name in self.large:
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        return {"id": self.repo, "sha": REVISION, "siblings": siblings, "cardData": {"license": self.licence}}


@contextmanager
def serving(fake: FakeRepo) -> Iterator[str]:
    """Yields the address to give as endpoint."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def _send(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body if cut is None else body[:cut])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True

        def do_GET(self) -> None:
            if self.path.startswith(f"/api/models/{fake.repo}"):
                return self._send(200, json.dumps(fake.info()).encode(), {"Content-Type": "application/json"})
            name = self.path.partition(f"/{fake.repo}/resolve/{REVISION}/")[2]
            if name not in fake.files:
                return self._send(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            asked = self.headers.get("Range", "")
            fake.ranges.append((name, asked))
            data = fake.wrong.get(name, fake.files[name])
            start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
            status, extra = (
                (206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}) if asked else (200, {})
            )
            return self._send(status, data[start:], extra, fake.break_after.pop(name, None))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
