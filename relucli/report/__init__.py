"""Figures of a learned network and of the data it is about, and the report that holds them all."""
