"""A proxy in front of a server that makes each answer slower by a known share: a planted slowdown.

    python -m tools.measuring.slow_proxy 0.10 PORT -- llama-server -m model.gguf --port {server_port}

It starts the command with a free port in place of `{server_port}` and listens on PORT. Each part of an
answer that came t seconds after its request is sent on after (1 + share) x t seconds. Share 0 only passes
bytes on.
It imports nothing of slimgate, so it starts quickly and takes little CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

# The proxy fills in its own server's port. {port} is the port that slimgate gives the proxy.
SERVER_PORT = "{server_port}"
CHUNK = 1 << 16


async def serve(share: float, port: int, command: Sequence[str]) -> int:
    """Forwards connections until the command ends or SIGTERM comes. Returns the command's exit status."""
    upstream_port = find_free_port()
    words = [word.replace(SERVER_PORT, str(upstream_port)) for word in command]
    upstream = subprocess.Popen(words, env={**os.environ, "PORT": str(upstream_port)})
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, upstream.terminate)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await pass_on(reader, writer, upstream_port, share)

    async with await asyncio.start_server(connect, "127.0.0.1", port):
        return await asyncio.to_thread(upstream.wait)


async def pass_on(
    client: asyncio.StreamReader, answers: asyncio.StreamWriter, port: int, share: float
) -> None:
    """Forwards one connection: requests at once, and the parts of an answer after a delay by `share`."""
    try:
        server, requests = await asyncio.open_connection("127.0.0.1", port)
    except OSError:  # the server does not listen yet, so the client tries again
        answers.close()
        return
    loop = asyncio.get_running_loop()
    request_came = loop.time()
    parts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def send_requests() -> None:
        nonlocal request_came
        while part := await client.read(CHUNK):
            request_came = loop.time()
            requests.write(part)
            await requests.drain()
        requests.write_eof()

    async def read_answers() -> None:
        try:
            while part := await server.read(CHUNK):
                arrived = loop.time()
                await parts.put((arrived + share * (arrived - request_came), part))
        finally:  # also if the server resets the connection
            await parts.put((loop.time(), b""))

    async def send_answers() -> None:
        while True:
            due, part = await parts.get()
            await asyncio.sleep(due - loop.time())
            if not part:
                return
            answers.write(part)
            await answers.drain()

    tasks = [asyncio.create_task(work()) for work in (send_requests, read_answers, send_answers)]
    try:
        await asyncio.wait((tasks[2],))
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(*tasks, return_exceptions=True)
        requests.close()
        answers.close()


def find_free_port() -> int:
    """A port that no program listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(asyncio.run(serve(float(sys.argv[1]), int(sys.argv[2]), sys.argv[4:])))
