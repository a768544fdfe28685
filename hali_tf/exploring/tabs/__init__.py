"""One module per tab: `add` lays it out and returns what follows from a chosen picture, if any."""
