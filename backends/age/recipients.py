"""Who an age file is for: age's own keys and SSH keys, public to wrap and secret to unwrap.

Parsing gives ``ConfigError`` with the place of a bad key in its list, never with the key.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ltxvfs.backends.age import bech32
from ltxvfs.backends.age.header import FILE_KEY_SIZE, Header, Stanza
from ltxvfs.backends.age.ssh import ssh_identity, ssh_recipient
from ltxvfs.backends.age.x25519 import X25519Identity, X25519Recipient
from ltxvfs.core.errors import ConfigError

T = TypeVar("T")


class Recipient(Protocol):
    """Wraps file keys."""

    def wrap(self, file_key: bytes) -> Stanza: ...


class Identity(Protocol):
    """Unwraps file keys."""

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Give the file key, ``None`` if it was wrapped for somebody else.

        Raises ``ValueError`` for a stanza of the own type that is malformed.
        """
        ...


def parse_recipients(texts: Sequence[str]) -> list[Recipient]:
    """Read public keys; raises ``ConfigError``."""
    return [_numbered("recipient", n, text, _recipient) for n, text in enumerate(texts, 1)]


def parse_identities(texts: Sequence[str]) -> list[Identity]:
    """Read secret keys; raises ``ConfigError``."""
    return [_numbered("identity", n, text, _identity) for n, text in enumerate(texts, 1)]


def unwrap(header: Header, identities: Sequence[Identity]) -> bytes | None:
    """Give the file key of a header if one of the identities opens it.

    Raises ``ValueError`` for a malformed stanza.
    """
    for identity in identities:
        for stanza in header.stanzas:
            file_key = identity.unwrap(stanza)
            if file_key is not None:
                return file_key
    return None


def _numbered(what: str, number: int, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ConfigError as error:
        # Neither the text nor a library's message about it: it may be a secret.
        raise ConfigError(f"age {what} {number} {error}") from None


def _recipient(text: str) -> Recipient:
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise ConfigError("is a secret key: give its public one (age-keygen -y shows it)")
    recipient: Recipient
    try:
        if text.startswith(("ssh-", "ecdsa-", "sk-")):
            recipient = ssh_recipient(text)
        else:
            key = _bech32(text, "age", "age1..., ssh-ed25519 ... or ssh-rsa ...")
            recipient = X25519Recipient(key)
        recipient.wrap(bytes(FILE_KEY_SIZE))
    except ConfigError:
        raise
    except ValueError:
        raise ConfigError("is a point that hides nothing: make another key") from None
    return recipient


def _identity(text: str) -> Identity:
    if text.startswith("-----BEGIN "):
        return ssh_identity(text)
    known = "AGE-SECRET-KEY-1... or the text of an OpenSSH private key"
    return X25519Identity(_bech32(text, "age-secret-key-", known))


def _bech32(text: str, prefix: str, known: str) -> bytes:
    try:
        found, key = bech32.decode(text)
    except ValueError as error:
        raise ConfigError(f"is damaged or no key ({error}): use {known}") from None
    if found != prefix or len(key) != 32:
        raise ConfigError(f"is of another kind: use {known}")
    return key
