"""Figures as files: grids, strips, plots, films."""
