from __future__ import annotations

import h5py
import pytest

from relucli.errors import OutputError, StorageError, UsageError
from relucli.generation import Outputs, Recipe, generate
from relucli.storage.dataset import open_dataset
from relucli.storage.results import read_network
from relucli.streaming.blocks import Span
from relucli.streaming.fold import Engine
from relucli.synthesis import plant, synthesize

TEACHER = plant("random", 3, 2, seed=1)


@pytest.fixture
def outputs(tmp_path):
    return Outputs(tmp_path / "data.h5", tmp_path / "teacher.h5", command="relucli generate")


def test_the_files_hold_the_synthetic_rows_and_their_teacher(outputs):
    recipe = Recipe(500, seed=4, noise=0.5)
    assert generate(outputs, TEACHER, recipe, Engine()) == [outputs.data]
    (block,) = synthesize(TEACHER, 500, seed=4, noise=0.5)
    with open_dataset(outputs.data) as rows:
        found = rows.block(Span(0, 500))
        assert found.x.tobytes() == block.x.tobytes()
        assert found.y.tobytes() == block.y.tobytes()
    file = read_network(outputs.teacher)
    assert file.network.weights.tobytes() == TEACHER.weights.tobytes()
    assert (file.provenance.command, file.provenance.seed) == ("relucli generate", 4)


def test_a_dataset_does_not_hold_its_teacher(outputs):
    generate(outputs, TEACHER, Recipe(10), Engine())
    with h5py.File(outputs.data) as file:
        assert sorted(file) == ["x", "y"]
        assert sorted(file.attrs) == ["command", "format", "format_version", "relucli_version", "seed"]


def test_progress_is_told_of_rows(outputs):
    told = []
    generate(outputs, TEACHER, Recipe(40_000), Engine(progress=lambda *args: told.append(args)))
    assert told == [("generate", rows, 40_000) for rows in (16_384, 32_768, 40_000)]


def test_no_file_appears_if_one_cannot_be_written(outputs, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise StorageError("disk full")

    monkeypatch.setattr("relucli.generation.write_network", fail)
    with pytest.raises(StorageError):
        generate(outputs, TEACHER, Recipe(10, shards=3), Engine())
    assert not list(tmp_path.iterdir())


def test_a_teacher_that_cannot_be_written_is_noticed_before_any_work(outputs):
    outputs.teacher.touch()
    with pytest.raises(OutputError):
        generate(outputs, TEACHER, Recipe(10), Engine(progress=pytest.fail))


def test_a_teacher_in_the_place_of_a_shard(tmp_path):
    outputs = Outputs(tmp_path / "a.h5", tmp_path / "a-00001-of-00002.h5")
    with pytest.raises(UsageError, match="cannot be both dataset and network"):
        generate(outputs, TEACHER, Recipe(10, shards=2), Engine())


def test_memory_for_one_block_and_the_next(outputs):
    with pytest.raises(UsageError) as caught:
        generate(outputs, TEACHER, Recipe(10), Engine(memory=2**20))
    assert str(caught.value) == "--memory 1MiB is too small to draw rows: pass --memory 3MiB"


@pytest.mark.parametrize(("memory", "workers"), [(3 * 2**20, 1), (10 * 2**20, 7), (2**30, 64)])
def test_memory_bounds_the_workers(outputs, monkeypatch, memory, workers):
    asked = []

    def spy(*args, **options):
        asked.append(options["workers"])
        return synthesize(*args, **options)

    monkeypatch.setattr("relucli.generation.synthesize", spy)
    generate(outputs, TEACHER, Recipe(10), Engine(workers=64, memory=memory))
    assert asked == [workers]
