"""SSH keys as recipients and identities of age: ``ssh-ed25519`` and ``ssh-rsa``.

Parsing gives ``ConfigError`` without the key, and without a library's message about it.
"""

import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ltxvfs.backends.age.header import Stanza, decode, encode
from ltxvfs.backends.age.x25519 import LABEL, NONCE, opened, share_of, wrapping_key
from ltxvfs.core.errors import ConfigError

_ED25519 = "ssh-ed25519"
_RSA = "ssh-rsa"
_P = 2**255 - 19
_RSA_BITS_MIN = 2048


class Ed25519Recipient:
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
        wrapping = wrapping_key(shared, share + self._converted, _ED25519)
        body = wrapping.encrypt(NONCE, file_key, None)
        return Stanza((_ED25519, self._tag, encode(share)), body)


class Ed25519Identity:
    """Opens what an ``Ed25519Recipient`` wrapped."""

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
        share = share_of(stanza, 2)
        if stanza.args[1] != self._tag:
            return None
        shared = self._secret.exchange(X25519PublicKey.from_public_bytes(share))
        shared = _exchange(self._tweak, shared)
        return opened(stanza, wrapping_key(shared, share + self._converted, _ED25519))


class RSARecipient:
    """Wraps by RSA-OAEP."""

    def __init__(self, key: RSAPublicKey) -> None:
        self._tag = _tag(key)
        self._key = key

    def wrap(self, file_key: bytes) -> Stanza:
        return Stanza((_RSA, self._tag), self._key.encrypt(file_key, _oaep()))


class RSAIdentity:
    """Opens what is wrapped by RSA-OAEP."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self._tag = _tag(key.public_key())
        self._key = key

    def unwrap(self, stanza: Stanza) -> bytes | None:
        if stanza.args[0] != _RSA:
            return None
        if len(stanza.args) != 2:
            raise ValueError("an ssh-rsa stanza with other than two arguments")
        return self._key.decrypt(stanza.body, _oaep()) if stanza.args[1] == self._tag else None


def ssh_recipient(text: str) -> Ed25519Recipient | RSARecipient:
    """Read a line of an ``id_*.pub``."""
    try:
        key = serialization.load_ssh_public_key(text.encode())
    except Exception:  # noqa: BLE001 - the library raises many kinds, and may quote the key
        raise ConfigError("is a damaged SSH key") from None
    if isinstance(key, Ed25519PublicKey):
        return Ed25519Recipient(key)
    if isinstance(key, RSAPublicKey) and key.key_size >= _RSA_BITS_MIN:
        return RSARecipient(key)
    raise ConfigError("is an SSH key that age cannot use: take ssh-ed25519, or ssh-rsa of 2048")


def ssh_identity(text: str) -> Ed25519Identity | RSAIdentity:
    """Read the text of a private key."""
    try:
        key = _private_key((text + "\n").encode())
    except TypeError:
        raise ConfigError("has a passphrase: use a key without one (ssh-keygen -p)") from None
    except Exception:  # noqa: BLE001 - the library raises many kinds, and may quote the key
        raise ConfigError("is a damaged SSH key") from None
    if isinstance(key, Ed25519PrivateKey):
        return Ed25519Identity(key)
    if isinstance(key, RSAPrivateKey):
        return RSAIdentity(key)
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
    derived = HKDF(SHA256(), 32, _wire(key), LABEL + _ED25519.encode()).derive(b"")
    return X25519PrivateKey.from_private_bytes(derived)


def _montgomery(key: bytes) -> bytes:
    """Map an Ed25519 public key to its X25519 key: u = (1 + y) / (1 - y)."""
    y = int.from_bytes(key, "little") & ((1 << 255) - 1)
    return ((1 + y) * pow(1 - y, -1, _P) % _P).to_bytes(32, "little")


def _exchange(secret: X25519PrivateKey, public: bytes) -> bytes:
    return secret.exchange(X25519PublicKey.from_public_bytes(public))


def _oaep() -> padding.OAEP:
    return padding.OAEP(padding.MGF1(SHA256()), SHA256(), LABEL + _RSA.encode())
