"""Moments of labelled Gaussian data, each an accumulator: base, sliced and contracted."""
