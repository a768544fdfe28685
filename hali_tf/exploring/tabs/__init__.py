"""One module per tab: `add` lays it out and returns what follows from the chosen picture, if any."""
