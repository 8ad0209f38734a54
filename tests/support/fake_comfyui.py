"""A FAKE of a ComfyUI server: no machine of ours has one, and no registry does.

It speaks the routes of `server.py`, `execution.py` and `comfy_execution/progress.py` of
Comfy-Org/ComfyUI at commit a125cd84b054a57729b5eecab930ca9408719832 (version 0.3.64), and with
`jobs_api` those that came later (`server.py` at 002c3fb9a504255ccb3edb668c08b8f56e63d14a). A
workflow is checked and "made" in `fake_comfyui_graphs.py`.

A job advances by one step with every question for the queue, so that no test waits for a clock.
"""

import base64
import email
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from tests.support.fake_comfyui_graphs import NODES, clip_of, error, installed, invalid

_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455."""
Ending = Literal["success", "error", "memory", "interrupted"]


@dataclass
class Job:
    """One prompt in the queue or the history."""

    id: str
    number: float
    graph: dict[str, Any]
    client: str
    state: Literal["pending", "running", "ended"] = "pending"
    steps: int = 0
    hidden: int = 0
    """Questions for it which are answered as if it were not there, after its end."""


@dataclass
class FakeComfy:
    """What the server has and how it behaves."""

    models: dict[str, list[str]] = field(default_factory=dict)
    """Model files by folder."""
    lacks: set[str] = field(default_factory=set)
    """Classes of nodes that are not installed."""
    key: str = ""
    """If set, requests need it as a bearer token, as behind a proxy."""
    jobs_api: bool = True
    interrupts_anyone: bool = False
    """As before version 0.3.50: `/interrupt` ignores the id that it is given."""
    steps: int = 0
    """Steps of a job; 0: it has ended when it is submitted."""
    ending: Ending = "success"
    listed_as: str = "images"
    """Under which name the node of the clip lists its file."""
    loses: int = 0
    """Answers to `POST /prompt` that get lost on the way, after the job was queued."""
    hides: int = 0
    """For how many questions a job that has just ended is in neither list."""
    truncates: int = 0
    """Downloads that break off halfway."""
    frames_off: int = 0
    """Frames that a clip has too few."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Path → status that it is answered with, in place of what is right."""
    url: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)
    inputs: dict[str, bytes] = field(default_factory=dict)
    outputs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Method and path of all requests."""
    interrupted: list[str] = field(default_factory=list)
    listeners: dict[str, list[Any]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def restart(self) -> None:
        """The server starts again: queue and history are gone, files are not."""
        with self.lock:
            self.jobs.clear()

    def made(self) -> list[str]:
        """Ids of all jobs that it has."""
        return list(self.jobs)

    # The queue

    def submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        given = body.get("prompt_id")
        if given is not None and self.jobs_api and not _is_job_id(given):
            return 400, error("invalid_prompt_id", "prompt_id must be a valid UUID")
        graph = body["prompt"]
        if problem := invalid(graph, self.signatures(), self.inputs):
            return 400, problem
        job = Job(given or "c0ffee00-0000-4000-8000-000000000000", len(self.jobs), graph, "")
        job.client = body.get("client_id", "")
        self.jobs[job.id] = job
        if not self.steps:
            self._end(job)
        return 200, {"prompt_id": job.id, "number": job.number, "node_errors": {}}

    def advance(self) -> None:
        """One step of the running job, or the start of the next one."""
        running = next((job for job in self.jobs.values() if job.state == "running"), None)
        if running is None:
            waiting = [job for job in self.jobs.values() if job.state == "pending"]
            if waiting:
                job = min(waiting, key=lambda job: job.number)
                job.state = "running"
                self.say(job, "execution_start", {})
            return
        running.steps += 1
        node = _sampler(running.graph)
        state = {"value": running.steps, "max": self.steps, "node": node}
        self.say(running, "progress", state)
        if running.steps >= self.steps:
            self._end(running)

    def _end(self, job: Job) -> None:
        job.state, job.hidden = "ended", self.hides
        if self.ending == "success":
            for node in _savers(job.graph):
                name = f"clip_{len(self.outputs):05}_.mp4"
                self.outputs[name] = clip_of(job.graph, self.inputs, self.frames_off)
                job.graph[node]["made"] = name
        self.say(job, "execution_success", {})

    def history(self, id: str) -> dict[str, Any]:
        job = self.jobs.get(id)
        if job is None or job.state != "ended":
            return {}
        if job.hidden:
            job.hidden -= 1
            return {}
        messages: list[Any] = [["execution_start", {"prompt_id": id, "timestamp": 1_000_000}]]
        node = _sampler(job.graph)
        about = {
            "prompt_id": id,
            "timestamp": 1_012_500,
            "node_id": node,
            "node_type": job.graph[node]["class_type"],
        }
        if self.ending == "success":
            messages.append(["execution_success", about])
        elif self.ending == "interrupted":
            messages.append(["execution_interrupted", about])
        else:
            text = "Allocation on device 0 would exceed allowed memory. (out of memory)"
            fault = {
                "exception_type": "torch.OutOfMemoryError"
                if self.ending == "memory"
                else "RuntimeError",
                "exception_message": text
                if self.ending == "memory"
                else "mat1 and mat2 shapes cannot be multiplied",
                "traceback": ["a long text"],
            }
            messages.append(["execution_error", {**about, **fault}])
        good = self.ending == "success"
        outputs = {
            name: {
                self.listed_as: [{"filename": node["made"], "subfolder": "", "type": "output"}],
                "animated": [True],
            }
            for name, node in job.graph.items()
            if "made" in node
        }
        status = {"status_str": "success" if good else "error", "completed": good}
        return {
            id: {
                "prompt": [job.number, id, {}, {}, []],
                "outputs": outputs,
                "status": {**status, "messages": messages},
            }
        }

    def queue(self) -> dict[str, Any]:
        self.advance()
        listed: dict[str, list[Any]] = {"running": [], "pending": []}
        for job in self.jobs.values():
            if job.state != "ended":
                listed[job.state].append([job.number, job.id, {}, {}, []])
        return {"queue_running": listed["running"], "queue_pending": listed["pending"][::-1]}

    def cancel(self, id: str) -> bool:
        job = self.jobs.get(id)
        if job is None or job.state == "ended":
            return False
        self.interrupted.append(id)
        del self.jobs[id]
        return True

    def interrupt(self, id: str | None) -> None:
        for job in list(self.jobs.values()):
            anyone = id is None or self.interrupts_anyone
            if job.state == "running" and (anyone or job.id == id):
                self.cancel(job.id)

    def say(self, job: Job, kind: str, data: dict[str, Any]) -> None:
        """To everybody who listens as the client of the job: a preview, and a message."""
        text = json.dumps({"type": kind, "data": {"prompt_id": job.id, **data}}).encode()
        for listener in self.listeners.get(job.client, []):
            listener.push(_frame(2, b"\x00\x00\x00\x01a picture") + _frame(1, text))

    def hang_up(self) -> None:
        """Close all websockets."""
        for listeners in self.listeners.values():
            for listener in listeners:
                listener.hang_up()

    def signatures(self) -> dict[str, Any]:
        """The nodes that are installed, with the model files that are there."""
        return installed(self.models, self.lacks)


def _is_job_id(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _savers(graph: dict[str, Any]) -> list[str]:
    return [name for name in graph if NODES[graph[name]["class_type"]]["output_node"]]


def _sampler(graph: dict[str, Any]) -> str:
    kinds = ("KSampler", "SamplerCustom", "SamplerCustomAdvanced")
    return next(name for name in graph if graph[name]["class_type"] in kinds)


def _frame(kind: int, data: bytes) -> bytes:
    """A websocket frame from a server, of less than 64 KiB."""
    length = bytes([len(data)]) if len(data) < 126 else bytes([126]) + len(data).to_bytes(2, "big")
    return bytes([0x80 | kind]) + length + data


@contextmanager
def fake_comfyui(**behaviour: Any) -> Iterator[FakeComfy]:
    """A server on a free loopback port."""
    fake = FakeComfy(**behaviour)
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.hang_up()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeComfy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if self._answered(parts.path):
            return
        path, query = parts.path, {name: value[0] for name, value in parse_qs(parts.query).items()}
        with self.fake.lock:
            if path == "/system_stats":
                self._json(200, {"system": {"comfyui_version": "0.3.64"}, "devices": []})
            elif path.startswith("/object_info/"):
                name = path.rsplit("/", 1)[1]
                found = self.fake.signatures()
                self._json(200, {name: found[name]} if name in found else {})
            elif path.startswith("/history/"):
                self._json(200, self.fake.history(path.rsplit("/", 1)[1]))
            elif path == "/queue":
                self._json(200, self.fake.queue())
            elif path.startswith("/api/jobs/") and self.fake.jobs_api:
                id = path.rsplit("/", 1)[1]
                known = id in self.fake.jobs
                self._json(*((200, {"id": id}) if known else (404, {"error": "Job not found"})))
            elif path == "/view":
                self._view(query)
            elif path != "/ws":
                self._send(404, b"404: Not Found", "text/plain")
        if path == "/ws":
            self._listen(query.get("clientId", ""))

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._answered(path):
            return
        with self.fake.lock:
            if path == "/upload/image":
                self._upload(body)
            elif path == "/prompt":
                status, answer = self.fake.submit(json.loads(body))
                if self.fake.loses:
                    self.fake.loses -= 1
                    self.close_connection = True
                    return
                self._json(status, answer)
            elif path == "/queue":
                for id in json.loads(body).get("delete", []):
                    if id in self.fake.jobs and self.fake.jobs[id].state == "pending":
                        self.fake.cancel(id)
                self._json(200, None)
            elif path == "/interrupt":
                self.fake.interrupt(json.loads(body or b"{}").get("prompt_id"))
                self._json(200, None)
            elif path.startswith("/api/jobs/") and self.fake.jobs_api:
                self._json(200, {"cancelled": self.fake.cancel(path.split("/")[3])})
            else:
                self._send(405, b"405: Method Not Allowed", "text/plain")

    def _answered(self, path: str) -> bool:
        self.fake.asked.append(f"{self.command} {path}")
        if self.fake.key and self.headers.get("Authorization") != f"Bearer {self.fake.key}":
            self._send(401, b"who are you?", "text/plain")
            return True
        if path in self.fake.statuses:
            self._send(self.fake.statuses[path], b"no", "text/plain")
            return True
        return False

    def _upload(self, body: bytes) -> None:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + body)
        fields: dict[str, Any] = {}
        for part in form.get_payload():  # type: ignore[union-attr]
            name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
            fields[str(name)] = part  # type: ignore[assignment]
        text = {name: part.get_payload() for name, part in fields.items() if name != "image"}
        file, folder = fields["image"].get_filename(), text.get("subfolder", "")
        assert text["type"] == "input"
        self.fake.inputs[f"{folder}/{file}"] = fields["image"].get_payload(decode=True)
        self._json(200, {"name": file, "subfolder": folder, "type": "input"})

    def _view(self, query: dict[str, str]) -> None:
        data = self.fake.outputs.get(query["filename"]) if query["type"] == "output" else None
        if data is None:
            self._send(404, b"", "text/plain")
        elif self.fake.truncates:
            self.fake.truncates -= 1
            self._send(200, data[: len(data) // 2], "video/mp4", announced=len(data))
            self.close_connection = True
        else:
            self._send(200, data, "video/mp4")

    def _listen(self, client: str) -> None:
        key = self.headers["Sec-WebSocket-Key"].encode() + _WEBSOCKET
        accept = base64.b64encode(hashlib.sha1(key).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade")):
            self.send_header(name, value)
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        with self.fake.lock:
            self.fake.listeners.setdefault(client, []).append(self)
            self.push(_frame(1, b'{"type": "status", "data": {"sid": "x"}}'))
        while head := self.rfile.read(2):  # what a client sends is masked
            self.rfile.read(4 + (head[1] & 0x7F))
            if head[0] & 0x0F == 8:
                self.push(_frame(8, b""))
                break
        self.close_connection = True

    def push(self, data: bytes) -> None:
        """Send frames of the websocket; whoever has gone hears nothing."""
        with suppress(OSError):
            self.wfile.write(data)
            self.wfile.flush()

    def hang_up(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str, announced: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data) if announced is None else announced))
        self.end_headers()
        self.wfile.write(data)
