"""A command where every packet that would leave the machine is seen, and none arrives.

`run_isolated` starts this file as a script in namespaces of its own: the default route leads into
a cable with nobody at the other end, and the only name server lies behind it. So whatever program
a command starts, an attempt to reach anybody is a packet that we count, or a name that it asks for.
"""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_OURS, _NEXT, _NAMES = "10.99.0.1", "10.99.0.2", "192.0.2.53"
_IPV4, _IGMP, _UDP = 0x0800, 2, 17
_SETTLE = 0.5
"""Seconds after the command's end in which a packet still counts."""
_SETUP = (
    "ip link set lo up",
    "ip link add out0 type veth peer name out1",
    "ip link set out1 up",
    f"ip addr add {_OURS}/24 dev out0",
    "ip link set out0 up",
    f"ip neigh add {_NEXT} lladdr 02:00:00:00:00:02 dev out0",
    f"ip route add default via {_NEXT} dev out0",
)


@dataclass
class Isolated:
    """What a command did there."""

    code: int
    out: str
    err: str
    sent: list[str]
    """Addresses beyond the loopback that something was sent to, with ports and names asked for."""


def can_isolate() -> bool:
    """Whether this machine lets us make such namespaces."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    probe = ["unshare", "-rmn", "ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def run_isolated(argv: Sequence[str], env: Mapping[str, str], timeout: float) -> Isolated:
    """Run `argv`. Raises subprocess.TimeoutExpired if it has not ended after `timeout` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("report", "out", "err")]
        script = [sys.executable, str(Path(__file__)), str(paths[0]), *argv]
        # Files, not pipes: a process that is left behind must not keep us waiting.
        with paths[1].open("wb") as out, paths[2].open("wb") as err:
            subprocess.run(
                ["unshare", "-rmn", *script],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=timeout,
            )
        words = [path.read_text(errors="backslashreplace") for path in paths[1:]]
        assert paths[0].exists(), words[1]
        report = json.loads(paths[0].read_text())
        return Isolated(report["code"], *words, report["sent"])


def main(report: str, argv: list[str]) -> None:
    """Inside the namespaces."""
    with contextlib.suppress(OSError):
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")  # no solicitations
    for line in _SETUP:
        subprocess.run(line.split(), check=True)
    names = Path(report).with_name("resolv.conf")
    names.write_text(f"nameserver {_NAMES}\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", str(names), "/etc/resolv.conf"], check=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(3)) as wire:
        wire.bind(("out0", 0))
        code = subprocess.run(argv).returncode
        sent = _seen(wire)
    Path(report).write_text(json.dumps({"code": code, "sent": sent}))


def _seen(wire: socket.socket) -> list[str]:
    found: list[str] = []
    deadline = time.monotonic() + _SETTLE
    while (left := deadline - time.monotonic()) > 0:
        wire.settimeout(left)
        try:
            packet, address = wire.recvfrom(65_535)
        except TimeoutError:
            break
        if address[1] == _IPV4 and packet[9] != _IGMP:
            found.append(_described(packet))
    return sorted(set(found))


def _described(packet: bytes) -> str:
    header = 4 * (packet[0] & 15)
    (port,) = struct.unpack("!H", packet[header + 2 : header + 4])
    words = f"{socket.inet_ntoa(packet[16:20])}:{port}"
    if packet[9] == _UDP and port == 53:
        labels, rest = [], packet[header + 20 :]
        while rest and rest[0]:
            labels.append(rest[1 : 1 + rest[0]].decode("ascii", "replace"))
            rest = rest[1 + rest[0] :]
        words += f" asks for {'.'.join(labels)}"
    return words


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
    os._exit(0)
