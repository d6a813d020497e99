"""Peak resident memory of every command on a file that is larger than its --memory.

python tests/bench/memory.py [--samples 1_000_000] [--memory 256MiB]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path


def peak(*arguments: object) -> float:
    """MiB that a command keeps resident at most."""
    process = subprocess.Popen(["relucli", *map(str, arguments), "--quiet"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"relucli {arguments[0]} failed with status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", default="1_000_000")
    parser.add_argument("--memory", default="256MiB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, moments, net, teacher = (Path(folder) / f"{name}.h5" for name in ("data", "moments", "net", "teacher"))
        recipe = ["--dim", 100, "--neurons", 5, "--noise", 0.3, "--dtype", "float32", "--teacher-out", teacher]
        commands = [
            ["generate", data, "--samples", options.samples, *recipe],
            ["moments", data, "-o", moments],
            ["learn", data, "-o", net, "--moments", moments, "-k", 5],
            ["evaluate", net, data, "--teacher", teacher],
        ]
        for command in commands:
            print(f"{command[0]:9s} {peak(*command, '--memory', options.memory):6.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
