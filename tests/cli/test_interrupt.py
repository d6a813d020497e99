import signal
import subprocess
import sys
import time

from relucli.cli.app import run


def test_an_interrupt_ends_a_long_discovery_at_once(tmp_path):
    data, net = tmp_path / "data.h5", tmp_path / "net.h5"
    recipe = ["--samples", "60_000", "--dim", "40", "--neurons", "30", "--bias", "0.5", "--noise", "0.1"]
    assert run(["generate", str(data), *recipe, "--quiet"]) == 0
    code = "from relucli.cli.app import main; main()"
    arguments = ["learn", str(data), "-o", str(net), "-k", "30", "--bias", "--workers", "2"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True)
    time.sleep(3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "relucli: interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["data.h5"]
