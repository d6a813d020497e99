"""HDF5 files: datasets, moments and networks, written whole or not at all and checked when read."""
