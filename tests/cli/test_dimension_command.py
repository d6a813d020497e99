from __future__ import annotations

import json
import re


def test_the_dimension_is_tested_and_shown_in_a_report(cli, pipeline):
    done = cli("dimension data.h5 --permutations 19 --max-dim 3 --json")
    found = done.json
    assert found["dimension"] == 2
    assert found["passes"] == 2
    assert [test["dim"] for test in found["tests"]] == [0, 1, 2, 3]
    assert [test["p_value"] for test in found["tests"]][:2] == [0.05, 0.05]
    assert len(found["eigenvalues"]) == found["dim"] == 4
    (pipeline / "dim.json").write_text(done.stdout)
    assert cli("report net.h5 --dimension dim.json -o report.html -q").status == 0
    html = (pipeline / "report.html").read_text(encoding="utf-8")
    assert "Permutation tests give the span 2 dimensions." in html
    assert "figure-dimension" in html
    assert f"<pre>{found['command']}</pre>" in html
    assert found["command"] == "relucli dimension data.h5 --permutations 19 --max-dim 3 --json"
    assert "95 % band" in html


def test_with_moments_it_takes_one_pass_and_finds_the_same(cli, pipeline):
    line = "dimension data.h5 --permutations 9 --level 0.2 --json"
    first, second = cli(line).json, cli(f"{line} --moments moments.h5").json
    assert second["passes"] == 1
    assert second["tests"] == first["tests"]


def test_a_table_marks_the_dimension(cli, pipeline):
    done = cli("dimension data.h5 --permutations 19 --level 0.1")
    rows = [line for line in done.stdout.splitlines() if re.match(r" +[0-9] ", line)]
    assert [" -> " in row for row in rows] == [False, False, True, False]
    assert "dimension      2, not rejected at level 0.1" in done.stdout


def test_a_record_of_tests_that_names_no_command_has_none_in_the_report(cli, pipeline):
    found = cli("dimension data.h5 --permutations 9 --json").json
    for command in (None, 3):
        (pipeline / "dim.json").write_text(json.dumps(found | {"command": command}))
        assert cli("report net.h5 --dimension dim.json -o report.html -q --force").status == 0
        assert "dim.json: no record of what made it." in (pipeline / "report.html").read_text(encoding="utf-8")


def test_the_table_fits_a_terminal_of_eighty_columns(cli, pipeline, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = cli("dimension data.h5 --permutations 19")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_bands_alone(cli, pipeline):
    done = cli("dimension data.h5 --permutations 0")
    rows = [line for line in done.stdout.splitlines() if re.match(r" +[0-9] ", line)]
    assert len(rows) == 4
    assert "not tested" in done.stdout


def test_moments_of_other_rows_are_refused(cli, pipeline):
    done = cli("dimension test.h5 --moments moments.h5")
    message = "moments.h5: taken from other data than test.h5 (of 4000 rows of 4 inputs, not 2000 rows of 4 inputs)"
    assert (done.status, done.stderr) == (65, f"relucli: {message}; take them again\n")
