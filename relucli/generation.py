"""Generating a dataset: synthetic rows, written stripe by stripe as they are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from relucli.errors import UsageError
from relucli.network import ReluNetwork
from relucli.storage.atomic import check_output
from relucli.storage.checkpoint import Checkpoint
from relucli.storage.dataset import DatasetWriter, shard_paths
from relucli.storage.results import write_network
from relucli.storage.schema import Provenance
from relucli.streaming.blocks import Span, stripe_rows
from relucli.streaming.fold import Engine, check_memory
from relucli.synthesis import Dtype, synthesize

__all__ = ["Outputs", "Recipe", "generate"]


@dataclass(frozen=True)
class Recipe:
    """What rows to draw.

    Attributes
    ----------
    samples : int
        Rows.
    seed : int
        In [0, 2^64).
    noise : float
        Standard deviation of the noise on the labels, absolute.
    dtype : {"float64", "float32"}
        Of the inputs.
    shards : int
        Files to cut the dataset into.
    """

    samples: int
    seed: int = 0
    noise: float = 0.0
    dtype: Dtype = "float64"
    shards: int = 1


@dataclass(frozen=True)
class Outputs:
    """Where to write what.

    Attributes
    ----------
    data : Path
        The dataset, or the name from which those of the shards are made.
    teacher : Path, optional
        The network that labels.
    force : bool
        Whether files that exist may be replaced.
    command : str
        Kept in the files as what made them.
    """

    data: Path
    teacher: Path | None = None
    force: bool = False
    command: str = ""


def generate(
    outputs: Outputs, teacher: ReluNetwork, recipe: Recipe, engine: Engine, checkpoint: Checkpoint | None = None
) -> list[Path]:
    """Draw x ~ N(0, I) and y = teacher(x) + noise, and write them.

    The numbers depend on the teacher and the recipe alone.  Of the engine, the workers, the memory bound and
    the progress are used; with a checkpoint, files that an earlier run began are gone on with.

    Returns
    -------
    list of Path
        The files of the dataset, in order.

    Raises
    ------
    UsageError
        If an option cannot be meant, or a stripe does not fit into memory.
    OutputError, StorageError
        If a file exists already or cannot be written.
    """
    provenance = Provenance(outputs.command, recipe.seed)
    if outputs.teacher is not None:
        if outputs.teacher.absolute() in (p.absolute() for p in shard_paths(outputs.data, recipe.shards)):
            raise UsageError(f"{outputs.teacher} cannot be both dataset and network; choose another name")
        check_output(outputs.teacher, outputs.force)
    writer = DatasetWriter(
        outputs.data,
        recipe.samples,
        teacher.dim,
        recipe.dtype,
        provenance=provenance,
        shards=recipe.shards,
        force=outputs.force,
        checkpoint=checkpoint,
        identity=_identity(teacher, recipe),
    )
    stripes = synthesize(
        teacher,
        recipe.samples,
        seed=recipe.seed,
        noise=recipe.noise,
        dtype=recipe.dtype,
        workers=_fitting_workers(teacher, engine),
        span=Span(writer.rows, recipe.samples),
    )
    with writer:
        for stripe in stripes:
            writer.append(stripe.x, stripe.y)
            if engine.progress is not None:
                engine.progress("generate", writer.rows, recipe.samples)
        if outputs.teacher is not None:  # while the dataset can still be taken back
            write_network(outputs.teacher, teacher, provenance=provenance, force=outputs.force)
    return writer.paths


def _identity(teacher: ReluNetwork, recipe: Recipe) -> str:
    """Digest of all that the rows depend on."""
    digest = blake2b(repr((recipe, teacher.offset)).encode(), digest_size=16)
    for array in (teacher.weights, teacher.coefficients, teacher.biases, teacher.linear):
        digest.update(array.astype("<f8").tobytes())
    return digest.hexdigest()


def _fitting_workers(teacher: ReluNetwork, engine: Engine) -> int:
    """As many as memory allows: together they hold a stripe each and one more, with its hidden values."""
    stripe = 8 * stripe_rows(teacher.dim) * (2 * teacher.dim + teacher.neurons + 2)
    check_memory(engine.memory, 2 * stripe, "to draw rows")
    return min(engine.workers, engine.memory // stripe - 1)
