"""`python -m tests.bench gateway`: /health while many clients ask for the state of runs.

CLIENTS in the environment says how many; each asks for the state of a run once a second, on a
connection of its own. What is compared is /health with them and without them.
"""

import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import REPOSITORY, operator_of
from tests.support.studio import start_studio

CLIENTS = int(os.environ.get("CLIENTS", "500"))
SECONDS = 20.0


def bench_gateway() -> dict[str, object]:
    """Milliseconds of /health at the 95th percentile, idle and under load, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        cli = operator_of(Path(folder), REPOSITORY / "build" / "test-models")
        studio = start_studio(cli)
        try:
            with studio.editor() as editor:
                run = editor.post("/briefs", json={"prompt": "a fox", "seconds": 600}).json()["id"]
                time.sleep(5)
                editor.delete(f"/runs/{run}")
            time.sleep(15)
            token = studio.variables["REELWRIGHT_GATEWAY_TOKEN"]
            return asyncio.run(_measure(studio.gateway, f"/runs/{run}", token))
        finally:
            studio.stop()


async def _measure(url: str, path: str, token: str) -> dict[str, object]:
    idle = await _health(url)
    errors: list[str] = []
    asked = 0
    stop = asyncio.Event()

    host = url.removeprefix("http://")
    name, port = host.split(":")
    headers = f"Host: {host}\r\nAuthorization: Bearer {token}\r\n"
    request = f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode()

    async def client(number: int) -> None:
        """As little work as it can be: the clients share the cores with what is measured."""
        nonlocal asked
        await asyncio.sleep(number / CLIENTS)
        reader, writer = await asyncio.open_connection(name, int(port))
        while not stop.is_set():
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
            await reader.readexactly(length)
            asked += 1
            if not head.startswith(b"HTTP/1.1 200"):
                errors.append(head.split(b"\r\n")[0].decode())
            await asyncio.sleep(1)
        writer.close()

    clients = [asyncio.create_task(client(n)) for n in range(CLIENTS)]
    await asyncio.sleep(3)
    loaded = await _health(url)
    stop.set()
    await asyncio.gather(*clients)
    return {
        "clients": CLIENTS,
        "answers": asked,
        "errors": len(errors),
        "health_p95_ms_idle": round(idle, 2),
        "health_p95_ms_loaded": round(loaded, 2),
        "ratio": round(loaded / idle, 2),
    }


async def _health(url: str) -> float:
    """By a process of its own: the clients' event loop is not what is measured."""
    code = (
        "import httpx,time,statistics\n"
        f"c=httpx.Client(base_url={url!r},timeout=60)\nt=[]\nend=time.monotonic()+{SECONDS}\n"
        "while time.monotonic()<end:\n"
        "  b=time.perf_counter();c.get('/health').raise_for_status()\n"
        "  t.append(1000*(time.perf_counter()-b));time.sleep(.02)\n"
        "print(statistics.quantiles(t,n=20)[-1])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return float(out)
