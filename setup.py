"""Says in plain words which Python is missing; all else stands in setup.cfg."""

import sys

from setuptools import setup

# pip would name a TensorFlow that it cannot find, and not the reason.
if not (3, 9) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        "hali_tf needs Python 3.9 to 3.13, which TensorFlow 2.15 and 2.21 have; this is "
        f"{sys.version.split()[0]}. Try: python3.12 -m venv .venv && .venv/bin/pip install ."
    )

setup()
