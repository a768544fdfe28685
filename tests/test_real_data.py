"""The real entry point on real photographs, where they are at hand."""

import json
import math
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    "data, folder, size",
    [("celeba", "celeba_64", 64), ("folder", "imagenette_128", 128)],
    ids=["CelebA 64x64", "Imagenette 128x128"],
)
def test_two_hundred_steps_at_a_small_width(shared_data, tmp_path, data, folder, size):
    run_dir = tmp_path / "run"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "hali_tf.train",
            f"--data={data}",
            f"--data_dir={shared_data / folder}",
            f"--image_size={size}",
            "--width=0.125",
            "--batch_size=16",
            "--steps=200",
            "--checkpoint_every=200",
            "--learning_rate=5e-4",
            f"--run_dir={run_dir}",
            f"--cache_dir={tmp_path / 'cache'}",
            "--log_every=10",
        ],
        check=True,
    )
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "d_loss" in line]
    assert [line["step"] for line in logged] == list(range(10, 201, 10))
    assert all(math.isfinite(value) for line in lines for value in line.values())
    # From about 14 at first; with the paper's dropout still above chance, 2 log 2. It must have
    # learned, and not have won for good.
    assert 0.01 < logged[-1]["d_loss"] < 2
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["step"] == 200 and summary["ratio_1"] < 3
