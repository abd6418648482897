"""A connection to a NATS server, made when first needed and made again when it was lost.

nats-py's own reconnecting is off: it keeps what was published meanwhile and sends it later, when
the caller has long been told that it failed. Here a lost connection fails every request under way
at once with ``Unavailable``, and the next request makes a new one.
"""

import asyncio
import itertools
import json
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ltxvfs.backends.nats.access import Access
from ltxvfs.core.errors import ConfigError, Conflict, Denied, NotFound, ReplicaError, Unavailable

_SILENCE_S_MAX = 5.0  # of JetStream's client in Go
_CONNECT_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 1.0
_PING_INTERVAL_S = 30
_NO_JETSTREAM = "the NATS server has no JetStream (for this account): start it with --jetstream"


class NoStream(ReplicaError):
    """The stream of a bucket is not there."""


class NoResponders(Unavailable):
    """Nobody listens where the request went: a stream that is gone or has no leader now."""


class Link:
    """The connection of one store; everything here runs on the store's event loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self._connection: Connection | None = None

    async def connection(self) -> "Connection":
        """Give the connection that is there, or make one.

        Raises ``Unavailable``, ``Denied`` or ``ConfigError``.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # After a fork or a close: what belonged to the other loop must not be touched.
            self._loop, self._opening, self._connection = loop, asyncio.Lock(), None
        async with self._opening:
            if self._connection is None or self._connection.lost:
                self._connection = await Connection.open(self._access)
            return self._connection

    async def close(self) -> None:
        if self._loop is asyncio.get_running_loop() and self._connection is not None:
            await self._connection.close()


class Connection:
    """A connection until it is lost, and the requests under way on it."""

    def __init__(self) -> None:
        self.client = Client()
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self._heard_at = 0.0
        self._inbox = self.client.new_inbox()
        self._numbers = itertools.count()
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._listeners: set[Callable[[Msg | None], None]] = set()
        self._trouble: Exception | None = None
        self._refused: Denied | None = None

    @property
    def lost(self) -> bool:
        """Whether it ended, or belongs to the process that this one was forked from."""
        return self._ended or self._loop is not asyncio.get_running_loop()

    @classmethod
    async def open(cls, access: Access) -> "Connection":
        arguments = access.arguments()
        self = cls()
        try:
            await self._connect(access, arguments)
        except BaseException as error:
            await self.close()
            translated = self._translated(error, access)
            if translated is error:
                raise
            raise translated from None
        return self

    async def request(
        self, subject: str, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Msg:
        """Send a request and give its answer, of which exactly one is expected."""
        if self._refused is not None:
            raise self._refused
        reply = f"{self._inbox}.{next(self._numbers)}"
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = subject, answer
        try:
            await self._publish(subject, data, reply, headers)
            message = await self._awaited(answer)
        finally:
            del self._waiting[reply]
        if status(message) == 503:
            raise NoResponders(f"nobody answers on {subject} of the NATS server")
        return message

    async def api(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call JetStream, ``verb`` as in ``STREAM.INFO.<stream>``; raises what it refuses."""
        try:
            message = await self.request(f"$JS.API.{verb}", json.dumps(body).encode())
        except NoResponders:
            raise ConfigError(_NO_JETSTREAM) from None
        return _answer(message)

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str]) -> int:
        """Publish into a stream and give the sequence it got; ``Conflict`` where not expected."""
        answer = _answer(await self.request(subject, data, headers))
        return int(answer["seq"])

    async def subscribe(self, receive: Callable[[Msg | None], None]) -> Subscription:
        """Call ``receive`` with what comes to a new inbox, and with ``None`` at the end of it."""

        async def callback(message: Msg) -> None:
            receive(message)

        subject = self.client.new_inbox()
        subscription = await self.client.subscribe(subject, cb=callback, pending_bytes_limit=0)
        self._listeners.add(receive)
        return subscription

    async def unsubscribe(
        self, subscription: Subscription, receive: Callable[[Msg | None], None]
    ) -> None:
        self._listeners.discard(receive)
        if not self.lost:
            await subscription.unsubscribe()

    async def close(self) -> None:
        with suppress(TimeoutError):
            # nats-py waits for ever to send what it has to a silent server, and for the end of a
            # connection whose TLS never came about.
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.client.close()
        writer = getattr(getattr(self.client, "_transport", None), "_io_writer", None)
        if writer is not None:
            writer.transport.abort()  # it has no such verb of its own
        await self._on_closed()

    async def _connect(self, access: Access, arguments: Mapping[str, Any]) -> None:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await self.client.connect(
                access.servers,
                name="ltxvfs",
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(_CONNECT_TIMEOUT_S),
                ping_interval=_PING_INTERVAL_S,
                **arguments,
            )
        access.check_encrypted(arguments)
        if not self.client.is_connected:
            raise ConnectionResetError("the server closed the connection")
        await self.client.subscribe(f"{self._inbox}.*", cb=self._on_answer, pending_bytes_limit=0)

    async def _awaited(self, answer: "asyncio.Future[Msg]") -> Msg:
        """Wait for an answer as long as the server says anything: a slow line is no silence."""
        now = asyncio.get_running_loop().time
        asked_at = now()
        while not answer.done():
            left_s = max(asked_at, self._heard_at) + _SILENCE_S_MAX - now()
            if left_s <= 0:
                # The connection may be dead without anybody noticing; a new one will tell.
                await self.close()
                raise Unavailable(f"the NATS server was silent for {_SILENCE_S_MAX:.0f} s")
            await asyncio.wait([answer], timeout=left_s)
        return answer.result()

    async def _publish(
        self, subject: str, data: bytes, reply: str, headers: Mapping[str, str] | None
    ) -> None:
        try:
            await self.client.publish(subject, data, reply, dict(headers) if headers else None)
        except nats.errors.MaxPayloadError:
            raise ReplicaError(f"{len(data)} bytes are too many for one NATS message") from None
        except (nats.errors.Error, OSError):
            raise Unavailable("the connection to the NATS server was lost") from None

    async def _on_answer(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        _, answer = self._waiting.get(message.subject, (None, None))
        if answer is not None and not answer.done():
            answer.set_result(message)

    async def _on_closed(self) -> None:
        self._ended = True
        self._fail(Unavailable("the connection to the NATS server was lost"))
        listeners, self._listeners = self._listeners, set()
        for receive in listeners:
            receive(None)

    async def _on_error(self, error: Exception) -> None:
        """Take what nats-py would log: kept for the one who gets to know that it failed."""
        self._trouble = error
        text = str(error)
        if "permissions violation for subscription" in text:
            self._refused = Denied("the NATS user may not subscribe to _INBOX.>")
            self._fail(self._refused)
        elif "permissions violation" in text:
            for subject, answer in self._waiting.values():
                # The server gives the subject in quotes; nats-py makes it lower case.
                if f'"{subject.lower()}"' in text and not answer.done():
                    answer.set_exception(Denied(f"the NATS user may not publish to {subject}"))

    def _fail(self, error: ReplicaError) -> None:
        for _, answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)

    def _translated(self, error: BaseException, access: Access) -> BaseException:
        """Turn what connecting raised into one line of ours, without what the SDK says."""
        if isinstance(error, nats.errors.NoServersError) and self._trouble is not None:
            error = self._trouble
        if isinstance(error, ssl.SSLCertVerificationError):
            return Denied(
                f"the NATS server's certificate is refused ({error.verify_message}): set root-cas"
            )
        if isinstance(error, ssl.SSLError):
            return Denied(f"the NATS server refuses TLS as it is set up here ({error.reason})")
        if isinstance(error, nats.errors.Error) and "auth" in str(error).lower():
            return Denied("the NATS server refuses these credentials")
        if isinstance(error, ConnectionResetError) and access.tls:
            return Unavailable("the NATS server ended TLS at once: does it want a client-cert?")
        if isinstance(error, (OSError, nats.errors.Error)):
            reason = getattr(error, "strerror", None) or type(error).__name__
            return Unavailable(f"no NATS server at {', '.join(access.servers)} ({reason})")
        return error


def status(message: Msg) -> int:
    """Give a message's status, 0 for one that carries data."""
    return int((message.headers or {}).get("Status", 0))


def _answer(message: Msg) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(message.data)
    except ValueError:
        raise ReplicaError(f"JetStream's answer from {message.subject} is no JSON") from None
    if "error" in answer:
        raise _refusal(answer["error"])
    return answer


def _refusal(error: Mapping[str, Any]) -> ReplicaError | ConfigError:
    """Turn an error of JetStream's API (nats-server's errors.json) into ours."""
    code, text = int(error.get("err_code", 0)), str(error.get("description", "no reason given"))
    if code == _STORE_FAILED and "maximum" in text:
        return ReplicaError(f"the NATS bucket is full ({text})")
    if code in _REFUSALS:
        kind, meaning = _REFUSALS[code]
        return kind(f"{meaning} ({text})")
    if error.get("code") in (408, 500, 503):
        return Unavailable(f"JetStream cannot do it now ({text})")
    return ReplicaError(f"JetStream refuses: {text} (error {code})")


_STORE_FAILED = 10077
_REFUSALS: dict[int, tuple[type[ReplicaError | ConfigError], str]] = {
    10002: (ReplicaError, "the NATS account is full"),
    10037: (NotFound, "no message"),
    10039: (ConfigError, _NO_JETSTREAM),
    10047: (ReplicaError, "the NATS server is full"),
    10059: (NoStream, "no stream"),
    10071: (Conflict, "another message is the last"),
    10076: (ConfigError, _NO_JETSTREAM),
    10109: (Denied, "the NATS bucket is sealed"),
    10164: (Conflict, "another message is the last"),
}
