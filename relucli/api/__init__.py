"""Plain functions, one for each stage: what the commands do, on files or on arrays, with typed results.

Data are a path to an HDF5 file, a list of paths (one dataset, in the order given) or a pair (x, y) of arrays.  Files
are read in blocks, so they may be larger than memory.  Options have the names that they have in the commands, and so
they have in messages.
"""

from relucli.api.data import generate, sample, take_moments
from relucli.api.networks import Evaluation, evaluate, learn, load, save

__all__ = ["Evaluation", "evaluate", "generate", "learn", "load", "sample", "save", "take_moments"]
