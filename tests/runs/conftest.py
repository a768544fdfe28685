"""Fixtures that the tests of run folders share."""

import pytest
from absl import logging


@pytest.fixture
def said(caplog):
    """Function: what was said as a warning."""
    logging.get_absl_logger().addHandler(caplog.handler)
    yield lambda: caplog.text
    logging.get_absl_logger().removeHandler(caplog.handler)
