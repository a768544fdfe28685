"""The command: flags that cannot work, and the encoder of a run trained with labels."""

import dataclasses
import os

import numpy as np
import pytest
from PIL import Image

from hali_tf.attributes import folder as folders
from hali_tf.config import ClassifierConfig
from hali_tf.errors import UsageError
from tests import commands
from tests.exporting.runs import make_run


@pytest.mark.parametrize(
    "values, message",
    [
        ({"data": ""}, "--data is empty"),
        ({"out": ""}, "--out is empty"),
        ({"weights": "none", "frozen_blocks": 2}, "--weights=none with --frozen_blocks=2"),
        ({"weights": "missing.h5"}, "--weights=missing.h5: no such file"),
        ({"frozen_blocks": 6}, "--frozen_blocks=6: expected below 6"),
        ({"encoder_of": "runs/x"}, "--data with --encoder_of"),
        ({"encoder_of": "runs/x", "data": "", "degrade": False}, "--degrade=False with --enc"),
        ({"encoder_of": "runs/x", "data": "", "frozen_blocks": 0}, "--frozen_blocks=0 with --enc"),
        ({"epochs": 0}, "--epochs=0"),
        ({"out": "gs://bucket/x"}, "--out=gs://bucket/x: expected a folder on a disk"),
    ],
)
def test_flags_that_cannot_work(values, message):
    with pytest.raises(UsageError, match=message):
        ClassifierConfig(**{"data": "celeba", "out": "runs/vgg16", **values}).validate()


def test_the_learning_rate_suits_the_start():
    config = ClassifierConfig(data="celeba", out="x")
    assert config.validate().learning_rate == 1e-4
    random = dataclasses.replace(config, weights="none", frozen_blocks=0)
    assert random.validate().learning_rate == 1e-3
    encoder = ClassifierConfig(encoder_of="runs/x").validate()
    assert (encoder.out, encoder.learning_rate) == (os.path.join("runs/x", "supervised"), 1e-3)


def test_the_command_trains_the_encoder_of_a_run(tmp_path):
    """Its folder is the run's, its data are the run's."""
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names, partition = ["18", "Bald Smiling"], []
    for i in range(18):
        name = f"{i:06}.png"
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
            folder / "img_align_celeba" / name
        )
        names.append(f"{name} {'1 -1' if i % 2 else '-1 1'}")
        partition.append(f"{name} {i // 6}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(names) + "\n")
    (folder / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
    run_dir = make_run(
        tmp_path / "run",
        data="celeba",
        data_dir=str(folder),
        image_size=16,
        channels=3,
        cache_dir=str(tmp_path / "cache"),
    )
    flags = (f"--encoder_of={run_dir}", "--epochs=2", "--batch_size=4")
    code, out, err = commands.run("attributes", *flags)
    assert code == 0, err
    card = folders.card(os.path.join(run_dir, "supervised"))
    assert card["attributes"] == ["Bald", "Smiling"] and card["test"]["images"] == 6
    assert f"balanced {np.mean(card['test']['balanced']):.2f} %" in out


@pytest.mark.parametrize(
    "flags, code, message",
    [
        (["--data=digits", "--out=OUT", "--weights=none", "--frozen_blocks=0"], 1, "no attributes"),
        (["--data=celeba"], 2, "--out is empty"),
        (["--data=celeba", "--out=OUT", "--device=gpu:99"], 2, "--device=gpu:99: expected auto"),
        (["--encoder_of=OUT/none"], 1, "config.json: not found"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, flags, code, message):
    flags = (flag.replace("OUT", str(tmp_path / "out")) for flag in flags)
    status, _, err = commands.run("attributes", *flags)
    assert status == code
    assert message in err and err.count("\n") == 1, err
