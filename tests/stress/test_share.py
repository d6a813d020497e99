"""A share of every trial of stress, small enough for each run of the tests, and the runner itself."""

from itertools import islice

import pytest
import run
from trial import Trial, all_trials


@pytest.mark.parametrize("trial", [t for t in all_trials() if t.share], ids=lambda trial: trial.what)
def test_survives(trial, tmp_path):
    found = list(islice(trial.run(trial.share, tmp_path), trial.share))
    assert [complaint for complaint in found if complaint is not None] == []
    assert len(found) == trial.share


def test_names_of_trials_are_their_own():
    names = [trial.what for trial in all_trials()]
    assert len(set(names)) == len(names)


def test_a_row_counts_what_survived():
    trial = Trial("doors", lambda tries, folder: iter([]), tries=3)
    assert run.row(trial, 3, [None, "the door was open", None], 1.4) == "| doors | 3 | 2 | 1 |"
