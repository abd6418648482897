"""The text in front of an age file (age-encryption.org/v1): stanzas, and a MAC over them.

Each stanza holds the same file key, wrapped for one recipient. Ours are padded with a stanza
that nobody answers to: so all our headers have one size, whatever recipients come and go, and
the size of a file's content follows from the size of the file.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ltxvfs.backends.age.keys import MAGIC
from ltxvfs.core.errors import FormatError

HEADER_SIZE = 1024
"""Size of the headers that we write, unless more recipients are given than fit (nine of X25519)."""
HEADER_SIZE_MAX = 64 << 10
FILE_KEY_SIZE = 16

_VERSION = MAGIC + b"v1\n"
_END = re.compile(rb"\n--- ([A-Za-z0-9+/]{43})\n")
_STANZA = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)")
_COLUMNS = 64
_PADDING = "ltxvfs-padding"
_MAC_SIZE = len("\n--- ") - 1 + 43 + 1


@dataclass(frozen=True, slots=True)
class Stanza:
    """One wrapped file key: type and arguments, then bytes."""

    args: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header; its MAC is not checked before the file key is known."""

    stanzas: tuple[Stanza, ...]
    size: int
    _covered: bytes
    _mac: bytes

    def is_authentic(self, file_key: bytes) -> bool:
        """Tell whether the header was made with this file key."""
        return hmac.compare_digest(self._mac, _mac(file_key, self._covered))


def pack(stanzas: Iterable[Stanza], file_key: bytes) -> bytes:
    """Give a header of our size, or of a larger one, that holds the stanzas."""
    text = _VERSION + b"".join(map(_packed, stanzas))
    text += _padding(HEADER_SIZE - _MAC_SIZE - len(text)) + b"---"
    return text + b" " + encode(_mac(file_key, text)).encode() + b"\n"


def parse(data: bytes, name: str) -> Header | None:
    """Read the header that a file begins with, or ``None`` if more of the file is needed.

    Raises ``FormatError`` for what is no age file or of another version.
    """
    if not data.startswith(_VERSION[: len(data)]):
        raise FormatError(name, "not a file of age v1: it is not encrypted, or damaged", offset=0)
    end = _END.search(data)
    if end is None:
        if len(data) >= HEADER_SIZE_MAX:
            raise FormatError(name, "the age header does not end", offset=len(data))
        return None
    stanzas = []
    at = len(_VERSION)
    while at <= end.start():
        found = _STANZA.match(data, at)
        if found is None or found.end() > end.start() + 1:
            raise FormatError(name, "a damaged stanza in the age header", offset=at)
        stanzas.append(Stanza(tuple(found[1].decode().split(" ")), _body(found[2], name, at)))
        at = found.end()
    if not stanzas:
        raise FormatError(name, "the age header has no stanza", offset=at)
    return Header(tuple(stanzas), end.end(), data[: end.start() + 4], _decoded(end[1], name, at))


def encode(data: bytes) -> str:
    """Give base64 without padding, as age has it."""
    return base64.b64encode(data).decode().rstrip("=")


def decode(text: str | bytes) -> bytes:
    """Read base64 without padding; raises ``ValueError`` unless it is canonical."""
    raw = text.encode() if isinstance(text, str) else text
    try:
        data = base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if encode(data).encode() != raw:
        raise ValueError("base64 that is not canonical")
    return data


def _mac(file_key: bytes, covered: bytes) -> bytes:
    key = HKDF(SHA256(), 32, None, b"header").derive(file_key)
    return hmac.digest(key, covered, "sha256")


def _packed(stanza: Stanza) -> bytes:
    body = encode(stanza.body)
    # The last line is shorter than the others, be it empty.
    lines = [body[at : at + _COLUMNS] for at in range(0, len(body) + 1, _COLUMNS)]
    return "\n".join(["-> " + " ".join(stanza.args), *lines, ""]).encode()


def _padding(size: int) -> bytes:
    """Give a stanza of that many bytes; nothing if it would be too short for one."""
    least = len(_packed(Stanza((_PADDING, "0"), b"")))
    if size < least:
        return b""
    full, rest = divmod(size - least, _COLUMNS + 1)
    # The argument's length makes up for what whole lines of the body cannot.
    return _packed(Stanza((_PADDING, "0" * (1 + rest)), bytes(full * 48)))


def _body(text: bytes, name: str, at: int) -> bytes:
    return _decoded(text.replace(b"\n", b""), name, at)


def _decoded(text: bytes, name: str, at: int) -> bytes:
    try:
        return decode(text)
    except ValueError as error:
        raise FormatError(name, f"the age header has {error}", offset=at) from None
