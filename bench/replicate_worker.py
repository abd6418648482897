"""Open an existing database through our VFS and wait until all of it is in the replica."""

import sys
from pathlib import Path

import ltxvfs


def main(database: Path, replica: str) -> None:
    con = ltxvfs.connect(database, replica=replica)
    con.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    ltxvfs.wait(con)
    con.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
