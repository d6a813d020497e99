from __future__ import annotations

import errno
import inspect
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

import relucli
from relucli.cli.app import COMMANDS, function_of

ONE_ERROR = "relucli: {}\n"


@pytest.mark.parametrize("line", ["import relucli", "from relucli.cli.app import run; run(['--help'])"])
def test_starting_imports_no_numerics_and_no_drawing(line):
    script = f"{line}; import sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert not {"numpy", "h5py", "scipy", "rich", "threadpoolctl"} & set(loaded)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_no_numerics(command):
    script = f"from relucli.cli.app import run; run(['{command}', '--help']); import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"numpy", "h5py", "scipy"} & set(done.stdout.splitlines()[-1].split())


def test_help_lists_the_commands(cli):
    done = cli("--help")
    assert done.status == 0
    assert [line.split()[0] for line in done.stdout.split("Commands:\n")[1].splitlines()] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_table_of_commands_agrees_with_their_docstrings(cli, command):
    assert inspect.getdoc(function_of(command)).splitlines()[0] == COMMANDS[command]
    assert COMMANDS[command] in cli(f"{command} --help").stdout


def test_version(cli):
    assert cli("--version").stdout == f"relucli {relucli.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "missing command; try relucli --help"),
        (["lern"], "no such command 'lern' (did you mean learn?); try relucli --help"),
        (["nothing"], "no such command 'nothing'; try relucli --help"),
        (["learn", "-o", "net.h5"], "missing argument 'DATA.h5'; try relucli learn --help"),
        (["learn", "data.h5"], "missing option '-o' / '--output'; try relucli learn --help"),
    ],
)
def test_what_cannot_be_parsed_is_one_line_and_status_2(cli, words, message):
    done = cli(*words)
    assert (done.stdout, done.stderr, done.status) == ("", ONE_ERROR.format(message), 2)


@pytest.mark.parametrize("option", ["--workers 0", "--seed -1", "--dtype int8", "--nonsense"])
def test_an_option_out_of_range_is_one_line_and_status_2(cli, folder, option):
    done = cli(f"generate data.h5 --samples 10 --dim 2 --neurons 1 {option}")
    assert (done.stdout, done.status, done.stderr.count("\n")) == ("", 2, 1)
    assert done.stderr.startswith("relucli: ")
    assert option.split()[0] in done.stderr
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 2, "out of memory; pass a smaller --memory or fewer --workers"),
        (
            OSError(errno.ENOSPC, "", "test.h5"),
            74,
            "test.h5: disk full; free some space or choose another folder",
        ),
        (OSError(errno.EIO, ""), 74, "input or output: input/output error; check the disk"),
        (PermissionError(errno.EACCES, "", "a"), 66, "a: permission denied; make it readable"),
        (
            KeyError("two\nlines"),
            1,
            r"bug: KeyError: 'two\nlines'; please report it with what RELUCLI_DEBUG=1 prints",
        ),
    ],
)
def test_every_failure_ends_as_one_line(cli, pipeline, monkeypatch, error, status, message):
    def fail(*_):
        raise error

    monkeypatch.setattr("relucli.scoring.score", fail)
    done = cli("evaluate net.h5 test.h5")
    assert (done.stdout, done.stderr, done.status) == ("", ONE_ERROR.format(message), status)


def test_a_traceback_is_shown_on_request(cli, pipeline, monkeypatch):
    monkeypatch.setenv("RELUCLI_DEBUG", "1")
    done = cli("evaluate net.h5 test.h5 --labels missing")
    assert done.status == 65
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith("relucli: test.h5: no dataset missing")


def test_control_characters_in_messages_are_made_visible(cli, folder):
    done = cli("evaluate", "net\x1b[31m\n.h5", "data.h5")
    assert done.stderr == ONE_ERROR.format(r"net\x1b[31m\n.h5: no such file; check its name")
    assert done.status == 66


STOPS = [
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGHUP, 129, "the terminal has gone"),
]


@pytest.mark.parametrize(("sent", "status", "word"), STOPS)
def test_a_signal_leaves_no_file_behind(folder, sent, status, word):
    line = "generate data.h5 --samples 1e9 --dim 10 --neurons 2 --workers 2"
    # Where the tests run under nohup, or in the background, the signal is ignored, and would be by the command.
    code = f"import signal; signal.signal({int(sent)}, signal.SIG_DFL); from relucli.cli.app import main; main()"
    command = [sys.executable, "-c", code, *line.split()]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while not list(folder.iterdir()) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert list(folder.iterdir())
            process.send_signal(sent)
            message = process.communicate(timeout=30)[1]
        finally:
            process.kill()
    assert (process.returncode, message) == (status, ONE_ERROR.format(word))
    assert not list(folder.iterdir())


def test_a_signal_that_gets_lost_is_sent_again(pipeline):
    script = """if True:
        import os, signal, sys, time
        import relucli.scoring
        from relucli.cli.app import main

        class Deaf:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)

        def score(*_):
            Deaf()
            time.sleep(60)

        relucli.scoring.score = score
        sys.argv = ["relucli", "evaluate", "net.h5", "test.h5"]
        main()
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (143, ONE_ERROR.format("terminated"))


def test_a_signal_that_code_in_c_swallows_is_sent_again(pipeline):
    script = """if True:
        import os, signal, sys, time
        import relucli.scoring
        from relucli.cli.app import main

        def score(*_):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
            except BaseException:
                pass
            time.sleep(60)

        relucli.scoring.score = score
        sys.argv = ["relucli", "evaluate", "net.h5", "test.h5"]
        main()
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (143, ONE_ERROR.format("terminated"))


def test_signals_do_not_disturb_what_undoes_the_work(pipeline):
    script = """if True:
        import os, signal, sys, time
        import relucli.scoring
        from relucli.cli.app import main

        def score(*_):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            finally:
                for _ in range(3):
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.2)
                print("undone")

        relucli.scoring.score = score
        sys.argv = ["relucli", "evaluate", "net.h5", "test.h5"]
        main()
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (143, "undone\n", ONE_ERROR.format("terminated"))


def test_a_signal_is_known_by_whatever_error_it_causes(pipeline):
    script = """if True:
        import signal, sys
        import relucli.scoring
        from relucli.cli.app import main

        def score(*_):
            try:
                signal.raise_signal(signal.SIGINT)
            except BaseException:
                raise TypeError("operation not defined") from None

        relucli.scoring.score = score
        sys.argv = ["relucli", "evaluate", "net.h5", "test.h5"]
        main()
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (130, ONE_ERROR.format("interrupted"))


def test_a_reader_that_leaves_early_is_no_failure(pipeline, spawn):
    reader, writer = os.pipe()
    os.close(reader)
    done = spawn("evaluate net.h5 test.h5", stdout=writer)
    os.close(writer)
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_results_that_cannot_be_printed(pipeline, spawn):
    with open("/dev/full", "w") as full:
        done = spawn("evaluate net.h5 test.h5 --json", stdout=full)
    message = "standard output: disk full; free some space or choose another folder"
    assert (done.stderr, done.returncode) == (ONE_ERROR.format(message), 74)


def test_a_disk_that_fills_up(folder, spawn):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    done = spawn("generate data.h5 --samples 1e5 --dim 20 --neurons 2", preexec_fn=limit)
    message = "data.h5: disk full; free some space or choose another folder"
    assert (done.stdout, done.stderr, done.returncode) == ("", ONE_ERROR.format(message), 74)
    assert not list(folder.iterdir())


def test_drawing_follows_no_color_and_the_encoding(pipeline, spawn):
    plain = {"NO_COLOR": "1", "TERM": "xterm-256color", "FORCE_COLOR": "1", "PYTHONIOENCODING": "ascii"}
    done = spawn("evaluate net.h5 test.h5 --teacher teacher.h5", env=os.environ | plain)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "\x1b[3" not in done.stdout
    assert done.stderr == ""
