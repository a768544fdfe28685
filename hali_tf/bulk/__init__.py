"""Whole data sets through a model, to files; a killed command resumes."""
