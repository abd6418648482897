"""Open an existing database through our VFS and wait until all of it is in the replica."""

import sys
from pathlib import Path

import ltxvfs
from bench.door import OURS, open_database


def main(database: Path, replica: Path) -> None:
    con = open_database(OURS, database, replica)
    con.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    ltxvfs.wait(con)
    con.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
