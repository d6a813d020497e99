"""Peak resident memory and speed of `relucli import` for every format, at 1, 128 and 256 MiB of numbers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DIM = 16
SIZES = (2**20, 2**27, 2**28)
FORMATS = ("csv", "parquet", "npy", "npz", "mat")

# Not ru_maxrss: a process inherits that of the one that started it.
RUN = """
import sys
from relucli.cli.app import run
assert run(["import", sys.argv[1], "-o", sys.argv[1] + ".h5", "--quiet", "--force"]) == 0
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(1024 * int(peak))
"""


def write(path: Path, size: int) -> None:
    """Write so many bytes of numbers in the format of the path; CSV repeats some of them as text."""
    x = np.random.default_rng(0).standard_normal((size // (8 * DIM), DIM))
    if path.suffix == ".csv":
        text = "".join(",".join(map(repr, row)) + "\n" for row in x[:4096].tolist())
        with path.open("w") as file:
            file.write(",".join(f"c{i}" for i in range(DIM)) + "\n")
            for _ in range(size // len(text) + 1):
                file.write(text)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({f"c{i}": x[:, i] for i in range(DIM)}), path, row_group_size=len(x))
    elif path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".npz":
        np.savez(path, x=x)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=x.T, chunks=(DIM, min(len(x), 4096)), compression="gzip", compression_opts=1)


def main() -> None:
    """Print a line for each format."""
    print("| format | peak MiB, 1 MiB of numbers | 128 MiB | 256 MiB | MiB/s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for ending in FORMATS:
            peaks, path = [], Path(folder) / f"table.{ending}"
            for size in SIZES:
                write(path, size)
                start = perf_counter()
                done = subprocess.run([sys.executable, "-c", RUN, path], capture_output=True, text=True, check=True)
                seconds = perf_counter() - start
                peaks.append(int(done.stdout))
            cells = " | ".join(f"{peak / 2**20:.0f}" for peak in peaks)
            print(f"| .{ending} | {cells} | {path.stat().st_size / 2**20 / seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
