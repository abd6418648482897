"""Keys of an encrypted replica as a user gives them: text, not looked into yet."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ltxvfs.core.errors import ConfigError

MAGIC = b"age-encryption.org/"
"""What every encrypted file begins with."""

_RECIPIENTS = "LITESTREAM_AGE_RECIPIENTS"
_IDENTITIES = "LITESTREAM_AGE_IDENTITIES"
_FILE = "_FILE"


@dataclass(frozen=True, slots=True, repr=False)
class AgeKeys:
    """Whom files are encrypted for, and what opens them. Its repr shows no key.

    ``recipients`` are public keys: ``age1...``, ``ssh-ed25519 ...``, ``ssh-rsa ...``; every file
    can be read with the secret of any of them. ``identities`` are secrets:
    ``AGE-SECRET-KEY-1...``, or the text of an OpenSSH private key without a passphrase.
    """

    recipients: Sequence[str] = ()
    identities: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("recipients", "identities"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise ConfigError(f"age {name} must be a list of keys, not one text")
            object.__setattr__(self, name, tuple(text.strip() for text in given))
        if not self.recipients and not self.identities:
            raise ConfigError("age needs recipients to write, identities to read, or both")

    def __repr__(self) -> str:
        counts = f"{len(self.recipients)} recipients, {len(self.identities)} identities"
        return f"<AgeKeys: {counts}>"

    @classmethod
    def from_files(
        cls,
        recipients: Iterable[str | os.PathLike[str]] = (),
        identities: Iterable[str | os.PathLike[str]] = (),
    ) -> Self:
        """Read files of keys: those of ``age-keygen``, OpenSSH keys, or a key a line.

        Raises ``ConfigError``.
        """
        return cls(
            [key for path in recipients for key in _keys(_text(path))],
            [key for path in identities for key in _keys(_text(path))],
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Read ``LITESTREAM_AGE_RECIPIENTS`` and ``LITESTREAM_AGE_IDENTITIES``.

        Each holds keys, one a line; the same names with ``_FILE`` name a file of keys. Gives
        ``None`` where none is set. Raises ``ConfigError``.
        """
        recipients, identities = (_found(environment, name) for name in (_RECIPIENTS, _IDENTITIES))
        return cls(recipients, identities) if recipients or identities else None


def _found(environment: Mapping[str, str], name: str) -> list[str]:
    found = _keys(environment.get(name, ""))
    if path := environment.get(name + _FILE):
        found += _keys(_text(path))
    return found


def _keys(text: str) -> list[str]:
    """Split a text into keys; a private key of OpenSSH is one of many lines."""
    text = text.strip()
    if text.startswith("-----BEGIN "):
        return [text]
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"cannot read the age keys in {os.fspath(path)}: {why}") from None
