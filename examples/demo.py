"""The main job: write through the VFS, kill the app, get the database back (``make demo``)."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

import ltxvfs

SHOP = Path(__file__).parent / "orders" / "shop.py"
LITESTREAM = Path(sys.executable).parent / "litestream"
SHOP_OPEN_S = 6.0
PROMISES_MIN = 4  # of a slow machine: one in the middle to go back to
COLUMNS = "id, customer, cents, placed_at"
Order = tuple[int, str, int, float]

sys.path.insert(0, str(SHOP.parent))
from shop import order  # noqa: E402


@dataclass(frozen=True)
class Promise:
    """What the app was told: orders up to *safe* are in the replica, as of *at* (seconds)."""

    safe: int
    txid: str
    at: float

    @property
    def moment(self) -> str:
        """The millisecond after the promise: a restore takes what is strictly before a moment."""
        after = datetime.fromtimestamp(self.at + 0.001, UTC)
        return after.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def step(text: str) -> None:
    print(f"\n{text}", flush=True)


def check(truth: bool, claim: str) -> None:
    """Print a claim that holds; a claim that does not ends the demo."""
    if not truth:
        sys.exit(f"  FAILED: {claim}")
    say(f"ok: {claim}")


def run_shop_until_killed(database: Path, replica: str) -> list[Promise]:
    """Open the shop, read its promises, and kill it between two of them."""
    shop = subprocess.Popen(
        [sys.executable, SHOP, database, replica], stdout=subprocess.PIPE, text=True
    )
    assert shop.stdout is not None
    promises = []
    closing = time.monotonic() + SHOP_OPEN_S
    for line in shop.stdout:
        promises.append(Promise(**json.loads(line)))
        if time.monotonic() > closing and len(promises) >= PROMISES_MIN:
            break
    time.sleep(0.005)
    shop.send_signal(signal.SIGKILL)
    promises += [Promise(**json.loads(line)) for line in shop.stdout if line.endswith("\n")]
    shop.wait()
    return promises


def orders_in(database: Path) -> list[Order]:
    con = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        integrity = con.execute("PRAGMA integrity_check").get
        check(integrity == "ok", f"integrity_check of {database.name}: {integrity}")
        rows: list[Any] = con.execute(f"SELECT {COLUMNS} FROM orders ORDER BY id").fetchall()
        return rows
    finally:
        con.close()


def check_orders(rows: list[Order], promise: Promise) -> None:
    ids = [row[0] for row in rows]
    check(ids == list(range(1, len(ids) + 1)), f"{len(ids):,} orders, none missing between")
    check(len(ids) >= promise.safe, f"every order promised safe is there (1 to {promise.safe:,})")
    check(all(row[1:3] == order(row[0]) for row in rows), "every order reads as it was written")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def restore_both(replica: str, folder: Path, name: str, moment: str | None = None) -> Path:
    """Restore with ltxvfs and with the real Litestream; their bytes must agree."""
    ours, theirs = folder / f"{name}.db", folder / f"{name}-by-litestream.db"
    began = time.perf_counter()
    result = ltxvfs.restore(replica, str(ours), timestamp=moment)
    took_s = time.perf_counter() - began
    say(f"ltxvfs.restore: {ours.stat().st_size:,} bytes, TXID {result.txid}, {took_s * 1e3:.0f} ms")
    options = ["-timestamp", moment] if moment else []
    command = [str(LITESTREAM), "restore", *options, "-o", str(theirs), replica]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"  FAILED: {' '.join(command)}\n{done.stderr}")
    check(
        sha256(ours) == sha256(theirs),
        f"litestream restore gives the same bytes ({sha256(ours)[:16]}...)",
    )
    return ours


def demo(folder: Path) -> None:
    database, replica = folder / "shop.db", f"file://{folder}/replica"
    step(
        f"1. A shop writes orders through the VFS; after {SHOP_OPEN_S:.0f} s it is killed (SIGKILL)"
    )
    promises = run_shop_until_killed(database, replica)
    last, earlier = promises[-1], promises[len(promises) // 2]
    files = [p for p in (folder / "replica").rglob("*.ltx")]
    rate = (last.safe - promises[0].safe) / (last.at - promises[0].at)
    say(f"{last.safe:,} orders promised safe in {len(promises)} barriers, {rate:,.0f} commits/s")
    say(f"replica: {len(files)} LTX files, {sum(p.stat().st_size for p in files):,} bytes")

    step("2. The machine is gone: restore the last transaction from the replica alone")
    latest = orders_in(restore_both(replica, folder, "latest"))
    check_orders(latest, last)

    step(f"3. A mistake was made after {earlier.moment}: restore the moment before")
    before = orders_in(restore_both(replica, folder, "before", earlier.moment))
    check_orders(before, earlier)
    check(
        all(row[3] <= earlier.at + 0.001 for row in before), "no order of a later moment is there"
    )

    step("4. The disk was not gone after all: compare with what the killed app left on it")
    left = orders_in(database)
    check(
        left[: len(latest)] == latest,
        f"the replica holds {len(latest):,} of {len(left):,} orders on disk, in order",
    )


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ltxvfs-demo-", dir=os.environ.get("TMPDIR")) as folder:
        demo(Path(folder))
    print(f"\nAll of it held. {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
