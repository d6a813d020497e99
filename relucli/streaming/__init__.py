"""Passes over rows: an accumulator folded over canonical row blocks, merged in block order."""
