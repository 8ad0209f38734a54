"""A hostile local user: tries everything on some ports and files, and prints what it got.

Run as a script with one JSON argument: {"ports": [...], "files": [...], "sockets": [...],
"certificate": PEM file of our own making, "uid": whom to become or null}. It becomes that user
after its imports, because the interpreter may lie where that user may not go.
"""

import json
import os
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""How every gRPC client begins: HTTP/2's preface and empty settings."""
REQUESTS = [
    ("GET", "/"),
    ("GET", "/col/delete?collection=reelwright"),
    ("POST", "/col/delete?collection=reelwright"),
    ("GET", "/dir/assign"),
    ("GET", "/dir/lookup?volumeId=1&fileId=1,0123456789&read=yes"),
    ("GET", "/dir/lookup?volumeId=1&fileId=1,0123456789"),
    ("GET", "/dir/status"),
    ("GET", "/cluster/status"),
    ("GET", "/vol/status"),
    ("GET", "/vol/grow?count=1"),
    ("GET", "/vol/vacuum"),
    ("POST", "/submit"),
    ("GET", "/1,0123456789"),
    ("DELETE", "/1,0123456789"),
    ("GET", "/buckets/?pretty=y"),
    ("DELETE", "/buckets/reelwright?recursive=true"),
    ("POST", "/buckets/reelwright/new.txt"),
    ("GET", "/ui/index.html"),
    ("GET", "/metrics"),
    ("GET", "/debug/pprof/"),
    ("GET", "/api/config"),
    ("GET", "/object-store/buckets"),
    ("POST", "/?Action=ListUsers&Version=2010-05-08"),
    ("POST", "/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=a&WebIdentityToken=b"),
    ("DELETE", "/reelwright"),
    ("GET", "/reelwright?list-type=2"),
    ("POST", "/reelwright?delete"),
]


def main() -> None:
    """Print what was got: a list of [port, transport, request, text] and of opened paths."""
    task = json.loads(sys.argv[1])
    anonymous, certified = trusting(), trusting()
    certified.load_cert_chain(task["certificate"])
    "127.0.0.1".encode("idna")  # loads what a connection needs, while it can be read
    if task["uid"] is not None:
        os.setgroups([])
        os.setgid(task["uid"])
        os.setuid(task["uid"])
    got = [
        [port, transport, name, talk(connect, data)]
        for port in task["ports"]
        for transport, connect in transports(port, anonymous, certified).items()
        for name, data in requests(port)
    ]
    opened = [path for path in task["files"] if succeeds(read, path)]
    opened += [path for path in task["sockets"] if succeeds(unix, path)]
    print(json.dumps({"got": got, "opened": opened, "uid": os.getuid()}))


def requests(port: int) -> list[tuple[str, bytes]]:
    """Name and bytes of each request; another site's page would send such an Origin."""
    headers = f"Host: 127.0.0.1:{port}\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n"
    names = [f"{method} {path}" for method, path in REQUESTS]
    made = [
        (name, f"{name} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode()) for name in names
    ]
    return [*made, ("gRPC", PREFACE)]


def trusting() -> ssl.SSLContext:
    """Speaks TLS with any server."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def transports(
    port: int, anonymous: ssl.SSLContext, certified: ssl.SSLContext
) -> dict[str, Callable[[], socket.socket]]:
    """Ways to open a connection to the port."""

    def plain() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), 10)

    return {
        "plain": plain,
        "TLS": lambda: anonymous.wrap_socket(plain()),
        "TLS with a certificate of our own": lambda: certified.wrap_socket(plain()),
    }


def talk(connect: Callable[[], socket.socket], data: bytes) -> str:
    """Everything the server says to `data` until it closes or is silent."""
    answer = b""
    try:
        with connect() as connection:
            connection.settimeout(1)
            connection.sendall(data)
            while block := connection.recv(65536):
                answer += block
    except OSError:
        pass
    return answer.decode("latin-1")


def read(path: str) -> None:
    """Open a file."""
    Path(path).read_bytes()


def unix(path: str) -> None:
    """Connect to a Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)


def succeeds(action: Callable[[str], None], path: str) -> bool:
    """Whether the action raises no OSError."""
    try:
        action(path)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
