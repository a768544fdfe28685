"""What the benchmarks measure on, and what they refuse."""

import os
import re
import subprocess
import sys

import pytest

from tests import commands

SPLIT = """
import tensorflow as tf
from scripts.benchmarking import jobs
strategy = jobs._make_strategy(4)
print(strategy.num_replicas_in_sync, len(set(strategy.extended.worker_devices)))
images = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(tf.zeros([8, 2])))
print(*(len(part) for part in strategy.experimental_local_results(next(iter(images)))))
"""


def test_replicas_are_parts_of_the_cpu_and_of_the_batch():
    out = subprocess.run(
        [sys.executable, "-c", SPLIT],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert out.stdout.split() == ["4", "4", *"2222"], out.stderr


@pytest.mark.parametrize(
    "replicas, words",
    [("1,3", "--batch_size=64 with --replicas=3 and --accumulate=1"), ("2,x", "--replicas=2,x:")],
)
def test_replicas_that_cannot_share_the_batch_are_refused(replicas, words):
    code, out, err = commands.run("scripts.benchmark", f"--replicas={replicas}")
    assert (code, out) == (2, "") and words in err and "expected" in err


def test_data_that_cannot_be_read_are_refused_before_anything_is_measured(tmp_path):
    flags = ("--data=folder", f"--data_dir={tmp_path}", "--image_size=16", "--noxla")
    code, out, err = commands.run("scripts.benchmark", *flags)
    assert (code, out) == (1, "") and "no images found" in err and "one pass" not in err


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--architecture=x", "expected one of"),
        ("--steps=0", "above 0"),
        ("--batch_size=0", "above"),
    ],
)
def test_a_profile_of_nothing_is_refused(flag, words):
    code, out, err = commands.run("scripts.profile_step", flag)
    assert (code, out) == (2, "") and flag in err and words in err


@pytest.mark.parametrize(
    "words, others",
    [
        ("sets none of these", ["--flagfile=configs/digits.cfg", "--options=latent_moments"]),
        ("has no --penalty", ["--flagfile=configs/digits.cfg", "--options=penalty"]),
        ("--labels_per_class", ["--flagfile=configs/mnist_100.cfg"]),
        ("--rounds=0", ["--flagfile=configs/digits.cfg", "--rounds=0"]),
    ],
)
def test_costs_of_no_option_are_refused(words, others):
    code, out, err = commands.run("scripts.option_costs", *others)
    assert (code, out) == (2, "") and words in err


def test_the_cost_of_an_option_has_an_interval():
    small = ("--flagfile=configs/digits.cfg", "--width=0.05", "--batch_size=4", "--rounds=3")
    code, out, err = commands.run("scripts.option_costs", *small, "--options=gradient_penalty")
    assert code == 0, err
    _, _, whole, without = out.splitlines()
    assert whole.startswith("| the configuration | ") and "`--gradient_penalty`" in without
    cost, low, high = map(float, re.findall(r"\d+\.\d+", without.split("|")[3]))
    assert 0 < low <= cost <= high
