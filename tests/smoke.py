"""Replicate and restore with an installed wheel: ``python smoke.py``, no test tools needed."""

import tempfile
from pathlib import Path

import ltxvfs


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app, copy = Path(folder, "app.db"), Path(folder, "copy.db")
        replica = f"file://{folder}/replica"
        con = ltxvfs.connect(str(app), replica=replica)
        con.execute("CREATE TABLE t(x); INSERT INTO t VALUES (42)")
        txid = ltxvfs.wait(con)
        con.close()
        ltxvfs.restore(replica, str(copy))
        print(f"smoke: restored {copy.stat().st_size} bytes at {txid}")


if __name__ == "__main__":
    main()
