"""Functions of arrays and models that measure."""
