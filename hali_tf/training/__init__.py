"""Training a run: devices, optimisers, callbacks, the fit itself."""
