"""The classifier of attributes: model, training, command."""
