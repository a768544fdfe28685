"""What docs/scaling.md calculates."""

import pathlib
import subprocess
import sys

import pytest

from hali_tf.architectures import ARCHITECTURES, cost
from scripts import scaling
from scripts.benchmarking import jobs

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scaling.md"


def test_a_ring_sends_all_but_one_part_twice():
    """Four neighbours, 400 bytes: 3 turns to add up and 3 to hand on, each of 100 bytes."""
    assert scaling.ring_seconds(400, 4, 50, 0.5) == pytest.approx(6 * (2 + 0.5))
    assert scaling.ring_seconds(400, 1, 50, 0.5) == 0


@pytest.mark.slow
def test_the_page_has_what_the_script_prints():
    printed = subprocess.run(
        [sys.executable, "scripts/scaling.py"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    rows = {line.partition(" | ")[2] for line in printed.splitlines() if line.startswith("| ")}
    assert len(rows) == 12 and all(row in PAGE.read_text() for row in rows)


def test_the_page_has_the_parameters_of_the_tables():
    page = PAGE.read_text()
    for name in ("hali64", "hali128"):
        parameters = sum(cost.parameters(ARCHITECTURES[name].adapt(3)).values())
        megabytes = scaling.reduced_bytes(parameters) / 1e6
        assert f"| `{name}` | {parameters:,} | {megabytes:.0f} |" in page


def test_a_step_uses_every_weight_forward_and_twice_backward():
    """At one place of an image or more; a multiply-add is 2."""
    parameters, flops = jobs.size_of_step("hali16")
    assert parameters == sum(cost.parameters(ARCHITECTURES["hali16"].adapt(3)).values())
    assert flops > 3 * 2 * parameters
