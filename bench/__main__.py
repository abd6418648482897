"""``python -m bench [--quick] [--only NAME]...``: measure and write bench/RESULTS.md."""

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench import busy, commits, copies, far, kernels, machine, stores
from bench.daemon import LITESTREAM
from bench.table import Line, markdown

SUBJECTS = {
    "kernels": kernels,
    "copies": copies,
    "far": far,
    "busy": busy,
    "commits": commits,
    "stores": stores,
}
RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = """# Results

Written by `make bench`; never edited by hand. Medians of interleaved repetitions; the result is the
median of the ratios within each repetition. "litestream" in the commit lines is plain APSW with the
real `litestream replicate` beside it. In the lines of stores "plain" is the bare SDK on the same
server, with the same promise: an object is there when it is whole.
"""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument(
        "--quick", action="store_true", help="small and short; the figures are rough"
    )
    parser.add_argument(
        "--only", action="append", choices=SUBJECTS, help="one subject, not written down"
    )
    parser.add_argument("--folder", default="build", help="where to work (its disk is measured)")
    return parser.parse_args()


def measure(folder: Path, names: list[str], *, quick: bool) -> list[Line]:
    done = []
    for name in names:
        for line in SUBJECTS[name].lines(folder, quick=quick):
            print("  ".join(cell for cell in line.cells() if cell), flush=True)
            done.append(line)
    return done


def main() -> None:
    chosen = options()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.folder) as name:
        folder = Path(name).resolve()
        facts = machine.describe(folder, LITESTREAM)
        print(facts, flush=True)
        done = measure(folder, chosen.only or list(SUBJECTS), quick=chosen.quick)
    if chosen.only:
        return
    mode = " (`--quick`: rough figures)" if chosen.quick else ""
    stamp = f"- Measured: {datetime.now(UTC):%Y-%m-%d}{mode}"
    RESULTS.write_text(f"{HEAD}\n{facts}\n{stamp}\n\n{markdown(done)}\n")
    print(f"\nwritten: {RESULTS}")


if __name__ == "__main__":
    main()
