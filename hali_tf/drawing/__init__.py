"""Figures as PNG files: grids, strips, plots."""
