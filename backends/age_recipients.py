"""Who an age file is for: X25519 keys of age's own, and SSH keys (Ed25519, RSA).

A recipient wraps a file key into a stanza, an identity unwraps it. Parsing gives ``ConfigError``
with the place of a bad key in its list, never with the key.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ltxvfs.backends import bech32
from ltxvfs.backends.age_header import FILE_KEY_SIZE, Header, Stanza, decode, encode
from ltxvfs.core.errors import ConfigError

_X25519 = "X25519"
_ED25519 = "ssh-ed25519"
_RSA = "ssh-rsa"
_LABEL = b"age-encryption.org/v1/"
_NONCE = bytes(12)  # a wrapping key is used once
_P = 2**255 - 19
_RSA_BITS_MIN = 2048

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


class _X25519Recipient:
    def __init__(self, key: bytes) -> None:
        self._key = key
        self._public = X25519PublicKey.from_public_bytes(key)

    def wrap(self, file_key: bytes) -> Stanza:
        secret = X25519PrivateKey.generate()
        share = secret.public_key().public_bytes_raw()
        wrapping = _wrapping(secret.exchange(self._public), share + self._key, _X25519)
        return Stanza((_X25519, encode(share)), wrapping.encrypt(_NONCE, file_key, None))


class _X25519Identity:
    def __init__(self, key: bytes) -> None:
        self._secret = X25519PrivateKey.from_private_bytes(key)
        self._public = self._secret.public_key().public_bytes_raw()

    def unwrap(self, stanza: Stanza) -> bytes | None:
        if stanza.args[0] != _X25519:
            return None
        share = _share(stanza, 1)
        shared = self._secret.exchange(X25519PublicKey.from_public_bytes(share))
        return _unwrapped(stanza, _wrapping(shared, share + self._public, _X25519))


class _Ed25519Recipient:
    """Ed25519 keys are turned into X25519 keys, and tweaked, so that no two uses share one."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._tag = _tag(key)
        self._converted = _montgomery(key.public_bytes_raw())
        self._public = X25519PublicKey.from_public_bytes(self._converted)
        self._tweak = _tweak(key)

    def wrap(self, file_key: bytes) -> Stanza:
        secret = X25519PrivateKey.generate()
        share = secret.public_key().public_bytes_raw()
        shared = _exchange(self._tweak, secret.exchange(self._public))
        wrapping = _wrapping(shared, share + self._converted, _ED25519)
        body = wrapping.encrypt(_NONCE, file_key, None)
        return Stanza((_ED25519, self._tag, encode(share)), body)


class _Ed25519Identity:
    def __init__(self, key: Ed25519PrivateKey) -> None:
        public = key.public_key()
        self._tag = _tag(public)
        self._converted = _montgomery(public.public_bytes_raw())
        scalar = hashlib.sha512(key.private_bytes_raw()).digest()[:32]
        self._secret = X25519PrivateKey.from_private_bytes(scalar)
        self._tweak = _tweak(public)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        if stanza.args[0] != _ED25519:
            return None
        share = _share(stanza, 2)
        if stanza.args[1] != self._tag:
            return None
        shared = self._secret.exchange(X25519PublicKey.from_public_bytes(share))
        shared = _exchange(self._tweak, shared)
        return _unwrapped(stanza, _wrapping(shared, share + self._converted, _ED25519))


class _RSARecipient:
    def __init__(self, key: RSAPublicKey) -> None:
        self._tag = _tag(key)
        self._key = key

    def wrap(self, file_key: bytes) -> Stanza:
        return Stanza((_RSA, self._tag), self._key.encrypt(file_key, _oaep()))


class _RSAIdentity:
    def __init__(self, key: RSAPrivateKey) -> None:
        self._tag = _tag(key.public_key())
        self._key = key

    def unwrap(self, stanza: Stanza) -> bytes | None:
        if stanza.args[0] != _RSA:
            return None
        if len(stanza.args) != 2:
            raise ValueError("an ssh-rsa stanza with other than two arguments")
        return self._key.decrypt(stanza.body, _oaep()) if stanza.args[1] == self._tag else None


def _numbered(what: str, number: int, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ConfigError as error:
        # Neither the text nor a library's message about it: it may be a secret.
        raise ConfigError(f"age {what} {number} {error}") from None


def _recipient(text: str) -> Recipient:
    if text.startswith(("ssh-", "ecdsa-", "sk-")):
        return _ssh_recipient(text)
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise ConfigError("is a secret key: give its public one (age-keygen -y shows it)")
    recipient = _X25519Recipient(_bech32(text, "age", "age1..., ssh-ed25519 ... or ssh-rsa ..."))
    try:
        recipient.wrap(bytes(FILE_KEY_SIZE))
    except ValueError:
        raise ConfigError("is a point that hides nothing: make a key with age-keygen") from None
    return recipient


def _identity(text: str) -> Identity:
    if text.startswith("-----BEGIN "):
        return _ssh_identity(text)
    known = "AGE-SECRET-KEY-1... or the text of an OpenSSH private key"
    return _X25519Identity(_bech32(text, "age-secret-key-", known))


def _bech32(text: str, prefix: str, known: str) -> bytes:
    try:
        found, key = bech32.decode(text)
    except ValueError as error:
        raise ConfigError(f"is damaged or no key ({error}): use {known}") from None
    if found != prefix or len(key) != 32:
        raise ConfigError(f"is of another kind: use {known}")
    return key


def _ssh_recipient(text: str) -> Recipient:
    try:
        key = serialization.load_ssh_public_key(text.encode())
    except Exception:  # noqa: BLE001 - the library raises many kinds, and may quote the key
        raise ConfigError("is a damaged SSH key") from None
    if isinstance(key, Ed25519PublicKey):
        return _Ed25519Recipient(key)
    if isinstance(key, RSAPublicKey) and key.key_size >= _RSA_BITS_MIN:
        return _RSARecipient(key)
    raise ConfigError("is an SSH key that age cannot use: take ssh-ed25519, or ssh-rsa of 2048")


def _ssh_identity(text: str) -> Identity:
    try:
        key = _private_key((text + "\n").encode())
    except TypeError:
        raise ConfigError("has a passphrase: use a key without one (ssh-keygen -p)") from None
    except Exception:  # noqa: BLE001 - the library raises many kinds, and may quote the key
        raise ConfigError("is a damaged SSH key") from None
    if isinstance(key, Ed25519PrivateKey):
        return _Ed25519Identity(key)
    if isinstance(key, RSAPrivateKey):
        return _RSAIdentity(key)
    raise ConfigError("is an SSH key that age cannot use: take ssh-ed25519 or ssh-rsa")


def _private_key(text: bytes) -> object:
    if b"OPENSSH" in text[:64]:
        return serialization.load_ssh_private_key(text, None)
    return serialization.load_pem_private_key(text, None)


def _tag(key: Ed25519PublicKey | RSAPublicKey) -> str:
    return encode(hashlib.sha256(_wire(key)).digest()[:4])


def _wire(key: Ed25519PublicKey | RSAPublicKey) -> bytes:
    """Give a public key's SSH wire form, which its one-line text holds in base64."""
    text = key.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).split(b" ")[1]
    return decode(text.rstrip(b"="))


def _tweak(key: Ed25519PublicKey) -> X25519PrivateKey:
    derived = HKDF(SHA256(), 32, _wire(key), _LABEL + _ED25519.encode()).derive(b"")
    return X25519PrivateKey.from_private_bytes(derived)


def _montgomery(key: bytes) -> bytes:
    """Map an Ed25519 public key to its X25519 key: u = (1 + y) / (1 - y)."""
    y = int.from_bytes(key, "little") & ((1 << 255) - 1)
    return ((1 + y) * pow(1 - y, -1, _P) % _P).to_bytes(32, "little")


def _exchange(secret: X25519PrivateKey, public: bytes) -> bytes:
    return secret.exchange(X25519PublicKey.from_public_bytes(public))


def _wrapping(shared: bytes, salt: bytes, kind: str) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt, _LABEL + kind.encode()).derive(shared))


def _share(stanza: Stanza, argument: int) -> bytes:
    """Give the ephemeral share, a stanza's last argument; and check the sizes of all."""
    if len(stanza.args) != argument + 1:
        raise ValueError(f"a {stanza.args[0]} stanza with {len(stanza.args) - 1} arguments")
    share = decode(stanza.args[argument])
    if len(share) != 32 or len(stanza.body) != FILE_KEY_SIZE + 16:
        raise ValueError(f"a {stanza.args[0]} stanza of a wrong size")
    return share


def _unwrapped(stanza: Stanza, wrapping: ChaCha20Poly1305) -> bytes | None:
    try:
        return wrapping.decrypt(_NONCE, stanza.body, None)
    except InvalidTag:
        return None


def _oaep() -> padding.OAEP:
    return padding.OAEP(padding.MGF1(SHA256()), SHA256(), _LABEL + _RSA.encode())
