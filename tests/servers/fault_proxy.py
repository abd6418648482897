"""A TCP proxy on loopback that is slow, cuts, refuses, stays silent or answers by itself.

``with FaultProxy("127.0.0.1:8433") as proxy`` listens on ``proxy.address``; its attributes and
methods change the weather at any time and from any thread. ``python fault_proxy.py PORT
HOST:PORT LATENCY_MS`` runs one as a process of its own, for measurements.
"""

import asyncio
import contextlib
import random
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Self

_LINGER_NOT = struct.pack("ii", 1, 0)  # close(2) then resets the connection


class FaultProxy:
    """Forwards every connection to ``target``; faults of the next connection or answer hit once."""

    def __init__(self, target: str, port: int = 0) -> None:
        host, _, number = target.rpartition(":")
        self.target = (host, int(number))
        self.latency_s = 0.0  # one way; a request and its answer take twice this longer
        self.jitter_s = 0.0  # at most so much more or less
        self.bandwidth = 0.0  # bytes a second, each connection and direction; 0: no limit
        self.silent = False  # swallow everything, both ways
        self.connections = 0  # so many were accepted
        self.refusals = 0  # so many of the next connections are reset at once
        self.silences = 0  # so many of the next requests are swallowed, with their connection
        self._answer = b""
        self._cut: tuple[int, bool] | None = None
        self.live: set[_End] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address = "127.0.0.1:{1}".format(*self._listener.getsockname())
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def answer_next(self, status: int, body: bytes = b"", length: int | None = None) -> None:
        """Answer the next request with an HTTP status; it never reaches the server."""
        size = len(body) if length is None else length
        head = f"HTTP/1.1 {status} Fault\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        self._answer = head.encode() + body

    def cut_next(self, after: int, *, reset: bool = True) -> None:
        """End the next answer after so many bytes, by a reset or as if that were all."""
        self._cut = after, reset

    def cut_now(self) -> None:
        """Reset every connection."""
        done = threading.Event()

        def cut() -> None:
            for end in list(self.live):
                end.reset()
            done.set()

        self._loop.call_soon_threadsafe(cut)
        done.wait()

    def clear(self) -> None:
        """Take back what has not hit yet."""
        self._answer, self._cut = b"", None
        self.refusals = self.silences = 0
        self.silent = False

    def take_answer(self) -> bytes:
        answer, self._answer = self._answer, b""
        return answer

    def take_cut(self) -> tuple[int, bool] | None:
        cut, self._cut = self._cut, None
        return cut

    def take(self, count: str) -> bool:
        """Count one of ``refusals`` or ``silences`` down; False when there is none."""
        left = getattr(self, count)
        setattr(self, count, max(left - 1, 0))
        return left > 0

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with await self._loop.create_server(lambda: _End(self), sock=self._listener):
            self._ready.set()
            await self._stop.wait()
            for end in list(self.live):
                end.reset()


class _End(asyncio.Protocol):
    """One end of a forwarded connection: what it receives, its peer sends on, later if need be."""

    def __init__(self, proxy: FaultProxy, peer: "_End | None" = None) -> None:
        self._proxy = proxy
        self._peer = peer
        self._to_server = peer is None  # whether what is received here goes to the server
        self._early: list[bytes] = []  # received before the server was reached
        self._mute = False  # what is received here is swallowed
        self._due_s = 0.0  # when the last bytes reach the peer
        self._cut: tuple[int, bool] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._proxy.live.add(self)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._to_server:
            return
        self._proxy.connections += 1
        if self._proxy.take("refusals"):
            self.reset()
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, peer = await loop.create_connection(
                lambda: _End(self._proxy, self), *self._proxy.target
            )
        except OSError:
            self.reset()
            return
        if self._transport is None or self._transport.is_closing():
            peer.reset()
            return
        self._peer = peer
        early, self._early = self._early, []
        for data in early:
            self._forward(data)

    def data_received(self, data: bytes) -> None:
        if self._to_server and (answer := self._proxy.take_answer()):
            assert self._transport is not None
            self._mute = True
            self._transport.write(answer)
            self._transport.write_eof()
        if self._to_server and self._proxy.take("silences"):
            self._mute = True
        if self._mute or self._proxy.silent:
            return
        if self._peer is None:
            self._early.append(data)
        else:
            self._forward(data)

    def _forward(self, data: bytes) -> None:
        if not self._to_server:
            self._cut = self._cut or self._proxy.take_cut()
        if self._cut is not None:
            after, reset = self._cut
            self._cut = after - len(data), reset
            if after <= len(data):
                self._send(data[:after])
                self._later(self._end, reset)
                self._mute = True
                return
        self._send(data)

    def _send(self, data: bytes) -> None:
        proxy, peer = self._proxy, self._peer
        assert peer is not None
        if not (proxy.latency_s or proxy.bandwidth or self._due_s):
            peer.write(data)
            return
        now = asyncio.get_running_loop().time()
        jitter = random.uniform(-proxy.jitter_s, proxy.jitter_s)
        due_s = max(now + proxy.latency_s + jitter, self._due_s)
        if proxy.bandwidth:
            due_s = max(due_s, self._due_s + len(data) / proxy.bandwidth)
        self._due_s = due_s
        self._later(peer.write, data)

    def _later(self, call: Callable[..., object], *args: object) -> None:
        asyncio.get_running_loop().call_at(self._due_s, call, *args)

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self, reset: bool) -> None:
        """End the connection of the peer, which is the client's."""
        if self._peer is not None:
            self._peer.reset() if reset else self._peer.close()
        self.reset()

    def pause_writing(self) -> None:
        if self._peer is not None and self._peer._transport is not None:
            self._peer._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None and self._peer._transport is not None:
            self._peer._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._proxy.live.discard(self)
        if self._peer is not None:
            self._later(self._peer.close)


def main(port: str, target: str, latency_ms: str) -> None:
    with FaultProxy(target, int(port)) as proxy:
        proxy.latency_s = float(latency_ms) / 1000
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
