"""One-hidden-layer ReLU networks, their closed forms under N(0, I), and how they compare."""

from relucli.network.comparison import Match, PopulationError, angle_words, match, population_error
from relucli.network.relu import ReluNetwork, gram

__all__ = ["Match", "PopulationError", "ReluNetwork", "angle_words", "gram", "match", "population_error"]
