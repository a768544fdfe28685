"""Layers of the networks: convolutions, distributions, random draws, weight normalisation."""
