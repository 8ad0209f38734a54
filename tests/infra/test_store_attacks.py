"""Another user of this machine, or a page in the operator's browser, gets nothing out of the
embedded store and changes nothing in it, whichever of its ports, sockets and files they try."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import sync_playwright

from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.seaweed_tls import mutual_tls
from infra.adapters.settings import StoreSettings
from pipelines.schema.keys import Digest, ObjectKey
from tests.support.attacker import REQUESTS
from tests.support.studio import wait_for

KEY = ObjectKey.chunk(Digest("a" * 64))
DATA = os.urandom(100_000)
PORTS, SOCKETS = 10, 7
NOBODY = 65534
ATTACKER = Path(__file__).parents[1] / "support" / "attacker.py"
REFUSED = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


class Victim:
    """A store of its own with one object in the default bucket, and what an attacker can see."""

    def __init__(self, folder: Path) -> None:
        self.server = SeaweedServer(folder / "store")
        self.server.wait()
        self.folder = folder / "store"
        self.store = ObjectStore(
            StoreSettings(
                endpoint=self.server.endpoint,
                access_key=self.server.credentials.access_key,
                secret_key=self.server.credentials.secret_key,
            )
        )
        self.store.ensure_bucket()
        self.put = self.store.put_bytes(KEY, DATA, "video/mp4")
        parent = psutil.Process(self.server.server.pid)
        self.processes = [parent, *parent.children(recursive=True)]
        self.s3 = int(self.server.endpoint.partition(":")[2])
        wait_for("ports", lambda: len(self.listening) >= PORTS)  # the admin's come last
        wait_for("sockets", lambda: len(self.sockets) >= SOCKETS)

    @property
    def listening(self) -> list[Any]:
        """Every TCP port of every process, IPv4 and IPv6."""
        return [
            connection.laddr
            for process in self.processes
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]

    @property
    def sockets(self) -> list[str]:
        """Every Unix socket of theirs that has a name."""
        found = [
            connection.laddr
            for process in self.processes
            for connection in process.net_connections("unix")
            if connection.laddr
        ]
        return sorted(set(found))

    @property
    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def is_whole(self) -> bool:
        """The object is there and nothing else is; it can be replaced too."""
        entries = [(entry.key, entry.size) for entry in self.store.entries()]
        same = self.store.get_bytes(KEY) == DATA and entries == [(KEY, len(DATA))]
        return same and self.store.put_bytes(KEY, DATA, "video/mp4") == self.put


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    """In a folder that everybody may enter, as pytest's own are not: the store closes its own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        found = Victim(Path(folder))
        yield found
        found.server.stop()


def attack(victim: Victim, tmp_path: Path, **what: object) -> dict[str, Any]:
    """What the attacker got, as another user if we may become one."""
    own = tmp_path / "own"
    mutual_tls(own)
    certificate = own / "both.pem"
    certificate.write_bytes((own / "cert.pem").read_bytes() + (own / "key.pem").read_bytes())
    uid = NOBODY if os.geteuid() == 0 else None
    task = {"ports": [], "files": [], "sockets": [], "certificate": str(certificate), "uid": uid}
    argv = [sys.executable, "-I", str(ATTACKER), json.dumps(task | what)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    assert result["uid"] == (NOBODY if os.geteuid() == 0 else os.getuid())
    return result


def test_no_port_of_the_store_gives_anything_to_another_user(
    victim: Victim, tmp_path: Path
) -> None:
    assert {address.ip for address in victim.listening} == {"127.0.0.1"}
    ports = {address.port for address in victim.listening} - {victim.s3}
    assert len(ports) == PORTS - 1
    got = attack(victim, tmp_path, ports=sorted(ports))["got"]
    assert len(got) == len(ports) * 3 * (len(REQUESTS) + 1)
    assert [line for line in got if line[3] not in ("", REFUSED)] == []
    assert victim.is_whole()


def test_the_s3_port_gives_nothing_without_a_signature(victim: Victim, tmp_path: Path) -> None:
    got = attack(victim, tmp_path, ports=[victim.s3])["got"]
    answers = [(request, text) for _, _, request, text in got if text]
    assert len(answers) >= len(REQUESTS)
    for request, text in answers:
        status = int(text.split()[1])
        assert status in {400, 401, 403, 404, 405, 501}, (request, text)
        assert "<Contents>" not in text
    assert victim.is_whole()


@needs_root
def test_no_file_or_socket_of_the_store_can_be_opened_by_another_user(
    victim: Victim, tmp_path: Path
) -> None:
    files, sockets = [str(path) for path in victim.files], victim.sockets
    assert len(sockets) == SOCKETS
    assert {"credentials", "key.pem", "reelwright_1.dat"} <= {path.name for path in victim.files}
    assert attack(victim, tmp_path, files=files, sockets=sockets)["opened"] == []
    for socket_path in sockets:
        assert Path(socket_path).stat().st_mode & 0o077 == 0


def test_keys_are_ours_alone_and_new_at_every_start(tmp_path: Path) -> None:
    variables = mutual_tls(tmp_path / "tls")
    first = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert set(first) == {"ca.pem", "cert.pem", "key.pem"}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()} == {0o600}
    assert variables["WEED_HTTPS_MASTER_CA"] == str(tmp_path / "tls" / "ca.pem")
    mutual_tls(tmp_path / "tls")
    for path in (tmp_path / "tls").iterdir():
        assert path.read_bytes() != first[path.name]


def test_the_store_talks_to_nobody_outside(victim: Victim) -> None:
    remote = {
        connection.raddr.ip
        for process in victim.processes
        for connection in process.net_connections("inet")
        if connection.raddr
    }
    assert remote <= {"127.0.0.1"}


def test_the_store_leaves_no_socket_behind_after_a_kill(tmp_path: Path) -> None:
    """It removes its own only; what cannot be removed, as a file of another user, is left."""
    victim = Victim(tmp_path)
    sockets = victim.sockets
    foreign = tmp_path / "store" / "socket" / "foreign"
    foreign.touch()
    stuck = Path(f"/tmp/seaweedfs-foreign-grpc-{victim.s3}.sock")
    stuck.mkdir()
    victim.server.server._process.kill()
    victim.server.server._process.wait()
    assert all(Path(path).exists() for path in sockets)
    try:
        victim.server.stop()
        assert stuck.exists()
    finally:
        stuck.rmdir()
    assert foreign.exists()
    assert not any(Path(path).exists() for path in sockets)


PAGE = """
<script>
const done = [];
// A connection that asks for a certificate may wait for ever for the user to choose one.
function later(promise) {
  const patience = new Promise(resolve => setTimeout(resolve, 5000));
  done.push(Promise.race([promise, patience]).then(() => 1, () => 1));
}
async function attack(targets) {
  for (const url of targets) {
    for (const method of ["GET", "POST"]) later(fetch(url, {method, mode: "no-cors"}));
    later(fetch(url, {method: "DELETE"}));
    later(fetch(url).then(answer => answer.text()).then(text => { window.got.push([url, text]); }));
    for (const kind of ["img", "script", "iframe"]) later(new Promise(resolve => {
      const element = document.createElement(kind);
      element.onload = element.onerror = resolve;
      element.src = url;
      document.body.append(element);
    }));
    const frame = document.createElement("iframe");
    frame.name = "frame" + document.querySelectorAll("iframe").length;
    const form = document.createElement("form");
    Object.assign(form, {action: url, method: "post", target: frame.name});
    later(new Promise(resolve => { frame.onload = resolve; }));
    document.body.append(frame, form);
    form.submit();
  }
  await Promise.all(done);
  return done.length;
}
window.got = [];
</script>
<body>a page of somebody else</body>
"""


@pytest.fixture
def foreign_page() -> Iterator[str]:
    """The address of a page from another origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.attacks
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_foreign_page_in_a_browser_gets_and_changes_nothing(
    victim: Victim, foreign_page: str
) -> None:
    paths = ["/col/delete?collection=reelwright", "/dir/assign", "/buckets/", "/reelwright?delete"]
    ports = sorted({address.port for address in victim.listening})
    targets = [
        f"{scheme}://127.0.0.1:{port}{path}"
        for port in ports
        for path in paths
        for scheme in ("http", "https")
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(foreign_page)
        assert page.evaluate("targets => attack(targets)", targets) == len(targets) * 8
        got = page.evaluate("window.got")
        browser.close()
    for url, text in got:
        assert "<Error><Code>" in text, (url, text)
    assert victim.is_whole()
