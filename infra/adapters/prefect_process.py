"""Run as a script: Prefect's API on a socket that listens already; argv[1] is its descriptor."""

import socket
import sys

import uvicorn

if __name__ == "__main__":
    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        log_level="warning",
        loop="asyncio",  # this loop and this protocol are what `prefect server start` uses
        http="h11",
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
