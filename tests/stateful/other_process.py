"""Processes beside the test that write through the VFS and end as they are told.

``python other_process.py`` reads commands, one JSON list a line: path, replica, statements, ending
(``close``, ``exit`` or ``kill``). It forks a child for each and answers when that has ended.
"""

import json
import os
import signal
import sys
from pathlib import Path

import apsw
from replicated import Replicated


def child(path, replica, statements, ending):
    con = Replicated(Path(path), Path(replica)).connect()
    con.set_busy_timeout(0)
    for statement in statements:
        try:
            con.execute(statement).fetchall()
        except (apsw.BusyError, apsw.LockedError):
            continue
        except apsw.SQLError as error:
            print(error, file=sys.stderr)
    if ending == "close":
        con.close()
        sys.exit()  # the interpreter's exit: what was sealed is uploaded
    if ending == "exit":
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(*json.loads(line))
        os.waitpid(pid, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    main()
