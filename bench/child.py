"""Run one measurement in a process of its own and read the JSON it prints.

A worker module has ``main(options) -> figures``; ``python -m bench.child MODULE JSON`` runs it.
"""

import importlib
import json
import subprocess
import sys
from typing import Any


def run(module: str, **options: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.child", module, json.dumps(options, default=str)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    worker = importlib.import_module(sys.argv[1])
    print(json.dumps(worker.main(**json.loads(sys.argv[2]))))
