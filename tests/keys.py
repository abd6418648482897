"""Keys for tests of encryption, made by other programs: age-keygen's Rust twin, ssh-keygen."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pyrage

from ltxvfs.backends.age.keys import AgeKeys


@dataclass(frozen=True)
class Pair:
    recipient: str
    identity: str

    @property
    def both(self) -> AgeKeys:
        return AgeKeys([self.recipient], [self.identity])


def x25519() -> Pair:
    identity = pyrage.x25519.Identity.generate()
    return Pair(str(identity.to_public()), str(identity))


def ssh(folder: Path, kind: str, *options: str) -> Pair:
    path = folder / f"{kind}{''.join(options)}"
    command = ["ssh-keygen", "-q", "-t", kind, "-f", path, "-N", "", *options]
    subprocess.run(command, check=True)
    return Pair(path.with_name(f"{path.name}.pub").read_text(), path.read_text())
