"""A tracker that writes down what it is told (BEP 3), for tests of what a client says of itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from node.bencode import encode


@dataclass(frozen=True, slots=True)
class Announce:
    """One announce. `keys`: the names of all its parameters; `headers`: of the HTTP request, by name."""

    peer: str
    event: str
    uploaded: int
    downloaded: int
    left: int
    keys: frozenset[str]
    headers: tuple[tuple[str, str], ...]

    @property
    def figures(self) -> tuple[str, int, int, int]:
        return self.event, self.uploaded, self.downloaded, self.left


@dataclass
class RecordingTracker:
    """Names no peer to anybody. `announces` in their order, from all clients; a client is known by its address."""

    url: str
    announces: list[Announce] = field(default_factory=list)

    def by(self, peer: str) -> list[Announce]:
        return [announce for announce in self.announces if announce.peer == peer]


@contextmanager
def recording_tracker() -> Iterator[RecordingTracker]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            raw = parse_qs(urlsplit(self.path).query, keep_blank_values=True, encoding="latin-1")
            query = {name: values[0] for name, values in raw.items()}
            tracker.announces.append(
                Announce(
                    peer=self.client_address[0],
                    event=query.get("event", ""),
                    uploaded=int(query["uploaded"]),
                    downloaded=int(query["downloaded"]),
                    left=int(query["left"]),
                    keys=frozenset(query),
                    headers=tuple(sorted((k, v) for k, v in self.headers.items() if k != "Host")),
                )
            )
            body = encode({"interval": 1800, "peers": b""})
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *unused: object) -> None:
            """Say nothing: the test has it all."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        tracker = RecordingTracker(f"http://127.0.0.1:{server.server_address[1]}/announce")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield tracker
        finally:
            server.shutdown()
            thread.join(20)
