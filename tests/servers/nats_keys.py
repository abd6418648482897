"""Keys and tokens as ``nsc`` makes them: an operator, its accounts and a user, and certificates."""

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nkeys
import trustme

_UNLIMITED = {
    name: -1
    for name in (
        *("subs", "data", "payload", "imports", "exports", "conn", "leaf"),
        *("mem_storage", "disk_storage", "streams", "consumer"),
    )
}


@dataclass(frozen=True)
class Key:
    """An NKey; its seed is the secret."""

    seed: str
    public: str

    @classmethod
    def make(cls, kind: int) -> "Key":
        seed = nkeys.encode_seed(os.urandom(32), kind)
        return cls(seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode())

    @classmethod
    def of_user(cls) -> "Key":
        return cls.make(nkeys.PREFIX_BYTE_USER)

    def sign(self, subject: "Key", name: str, kind: str, **claims: Any) -> str:
        """Give a JWT in which this key vouches for another."""
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        payload = {
            "jti": name,
            "iat": 1_700_000_000,
            "iss": self.public,
            "name": name,
            "sub": subject.public,
            "nats": {**claims, "type": kind, "version": 2},
        }
        text = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(payload).encode())}"
        signature = nkeys.from_seed(bytearray(self.seed.encode())).sign(text.encode())
        return f"{text}.{_encode(signature)}"


@dataclass
class Operator:
    """An operator with the account of the tests and the system's own; ``settings`` for a server."""

    account: Key = field(default_factory=lambda: Key.make(nkeys.PREFIX_BYTE_ACCOUNT))
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        operator = Key.make(nkeys.PREFIX_BYTE_OPERATOR)
        system = Key.make(nkeys.PREFIX_BYTE_ACCOUNT)
        limits = {**_UNLIMITED, "wildcards": True}
        self.settings = {
            "operator": operator.sign(operator, "operator", "operator"),
            "system_account": system.public,
            "resolver": "MEMORY",
            "resolver_preload": {
                system.public: operator.sign(system, "SYS", "account", limits={"wildcards": True}),
                self.account.public: operator.sign(self.account, "app", "account", limits=limits),
            },
        }

    def user(self, key: Key) -> str:
        """Give the JWT of a user of the account."""
        return self.account.sign(key, "user", "user", subs=-1, data=-1, payload=-1)


def write_creds(path: Path, jwt: str, seed: str) -> Path:
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    return path


@dataclass(frozen=True)
class Certificates:
    """Files of an authority, a server on 127.0.0.1 and a client."""

    ca: Path
    server: Path
    client: Path
    client_key: Path
    client_cert: Path

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        ca = trustme.CA()
        paths = cls(*(folder / f"{name}.pem" for name in ("ca", "server", "client", "key", "cert")))
        ca.cert_pem.write_to_path(str(paths.ca))
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(paths.server))
        client = ca.issue_cert("client@example.org")
        client.private_key_and_cert_chain_pem.write_to_path(str(paths.client))
        client.private_key_pem.write_to_path(str(paths.client_key))
        client.cert_chain_pems[0].write_to_path(str(paths.client_cert))
        return paths


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
