"""scripts/compare_pytorch.py: PyTorch's step is of the same networks, and torch may be missing."""

import json
import pathlib
import subprocess
import sys

import pytest

from hali_tf.architectures import ARCHITECTURES, cost

SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "compare_pytorch.py"


@pytest.fixture(scope="module")
def torch_step():
    pytest.importorskip("torch")
    from scripts.benchmarking import torch_step

    return torch_step


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_of_torch_have_the_parameters_of_the_table(torch_step, name):
    table = ARCHITECTURES[name].adapt(3, 0.25)
    model = torch_step.Hali(table)
    for network, count in cost.parameters(table).items():
        assert sum(p.numel() for p in getattr(model, network).parameters()) == count


@pytest.mark.parametrize("name", ["hali16", "hali64", "hali64_fast", "ali_cifar10"])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_step_of_torch_trains_every_parameter(torch_step, name, precision):
    torch = torch_step.torch
    table = ARCHITECTURES[name].adapt(3, 0.1)
    model = torch_step.Hali(table)
    images = torch.randint(0, 256, (4, *table.image), dtype=torch.uint8)
    of_q, of_p = model.examples(torch.zeros(4, 3, *table.image[:2]))
    latents = [
        (*z, 1, 1)[:3] if len(z) == 1 else (z[-1], *z[:-1])
        for z in (level.latent for level in table.levels)
    ]
    assert [tuple(z.shape[1:]) for z in of_q] == [(3, *table.image[:2]), *latents]
    assert [z.shape for z in of_p] == [z.shape for z in of_q]
    before = {name: value.clone() for name, value in model.named_parameters()}
    losses = torch_step.make_step(model, precision)(images)
    assert all(0 < loss < 20 for loss in losses)
    # Adam moves every entry that has a gradient.
    assert all((value != before[name]).any() for name, value in model.named_parameters())


def test_a_python_without_torch_is_one_line():
    command = [sys.executable, SCRIPT, "--torch_python=/no/python"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 2 and ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1
    assert "--torch_python=/no/python: has no torch; install it there by" in ran.stderr


@pytest.mark.slow
def test_the_step_that_it_compares_with_gives_what_it_prints(tmp_path):
    """PyTorch's side is played by a program that answers as torch_step.py does."""
    torch = tmp_path / "python"
    answer = {"seconds": 2.0, "cpu_median": 1.0, "torch": "9.9", "threads": 1}
    torch.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    torch.chmod(0o755)
    flags = ("architecture=hali16", "width=0.1", "batch_size=2", "steps=1", "rounds=1")
    command = [sys.executable, SCRIPT, f"--torch_python={torch}", *(f"--{f}" for f in flags)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    rows = [line.split(" | ") for line in ran.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == ["| precision", "| float32", "| mixed_bfloat16"]
    for row in rows[1:]:
        cached, cold = (float(ratio) for ratio in row[5].strip(" |").split(", "))
        assert row[2] == "2000 (1000)" and min(cached, cold) > 0
