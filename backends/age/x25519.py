"""age's own keys (X25519), and what other keys that agree on a secret share with them."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ltxvfs.backends.age.header import FILE_KEY_SIZE, Stanza, decode, encode

LABEL = b"age-encryption.org/v1/"
NONCE = bytes(12)  # a wrapping key is used once
_X25519 = "X25519"


class X25519Recipient:
    """A public key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._public = X25519PublicKey.from_public_bytes(key)

    def wrap(self, file_key: bytes) -> Stanza:
        secret = X25519PrivateKey.generate()
        share = secret.public_key().public_bytes_raw()
        wrapping = wrapping_key(secret.exchange(self._public), share + self._key, _X25519)
        return Stanza((_X25519, encode(share)), wrapping.encrypt(NONCE, file_key, None))


class X25519Identity:
    """A secret key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._secret = X25519PrivateKey.from_private_bytes(key)
        self._public = self._secret.public_key().public_bytes_raw()

    def unwrap(self, stanza: Stanza) -> bytes | None:
        if stanza.args[0] != _X25519:
            return None
        share = share_of(stanza, 1)
        shared = self._secret.exchange(X25519PublicKey.from_public_bytes(share))
        return opened(stanza, wrapping_key(shared, share + self._public, _X25519))


def wrapping_key(shared: bytes, salt: bytes, kind: str) -> ChaCha20Poly1305:
    """Derive what wraps a file key from a shared secret."""
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt, LABEL + kind.encode()).derive(shared))


def share_of(stanza: Stanza, argument: int) -> bytes:
    """Give the ephemeral share, a stanza's last argument; and check the sizes of all."""
    if len(stanza.args) != argument + 1:
        raise ValueError(f"a {stanza.args[0]} stanza with {len(stanza.args) - 1} arguments")
    share = decode(stanza.args[argument])
    if len(share) != 32 or len(stanza.body) != FILE_KEY_SIZE + 16:
        raise ValueError(f"a {stanza.args[0]} stanza of a wrong size")
    return share


def opened(stanza: Stanza, wrapping: ChaCha20Poly1305) -> bytes | None:
    """Give the file key of a stanza, ``None`` if another key wraps it."""
    try:
        return wrapping.decrypt(NONCE, stanza.body, None)
    except InvalidTag:
        return None
