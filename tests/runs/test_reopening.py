"""What a configuration makes of a model."""

import numpy as np
import pytest
from PIL import Image

from hali_tf.config import Config
from hali_tf.errors import UserError
from hali_tf.runs import reopening

OF_ALL = {
    "seed": 3,
    "ema_decay": 0.9,
    "precision": "mixed_bfloat16",
    "batch_norm_momentum": 0.8,
    "accumulate": 2,
    "remat": True,
}
NOISE, LEARNING = {"noise": 0.1}, {"label_weight": 5.0, "consistency": 6.0}
GAME = {
    "gradient_penalty": 2.0,
    "cycle_latents": 3.0,
    "cycle_contrast": 4.0,
    "latent_moments": 5.0,
    "image_discriminator": True,
}
JOINTS, SHARES = {"hybrid_joints": "0.5,0.25"}, {"hybrid_joints": (0.5, 0.25)}
LABELS = {"labels_per_class": 5, "classes": 10, **LEARNING}


@pytest.mark.parametrize(
    "kind, flags, own",
    [
        ("VAE", {"model": "vae"}, {}),
        ("HALI", {**NOISE, **GAME, **JOINTS}, {**NOISE, **GAME, **SHARES}),
        ("LabelledEncoder", {**NOISE, **LABELS, "encoder_only": True}, {**NOISE, **LEARNING}),
        (
            "SemiSupervisedHALI",
            {**NOISE, **GAME, **JOINTS, **LABELS, "cycle_labels": 7.0},
            {**NOISE, **GAME, **SHARES, **LEARNING, "cycle_labels": 7.0},
        ),
    ],
)
def test_every_flag_of_a_model_reaches_it(monkeypatch, kind, flags, own):
    monkeypatch.setattr(reopening, kind, lambda table, **settings: settings)
    config = Config.of(run_dir="x", channels=1, **OF_ALL, **flags).validate()
    switches = {"jit_compile": False, "sync_batch_norm": False, "from_noise": True}
    expected = {**OF_ALL, **switches, **own}
    assert reopening.make_model(config) == expected


@pytest.mark.parametrize(
    "flag, value, name, expected",
    [
        ("jit_compile", "true", "jit_compile", True),
        ("sync_batch_norm", True, "sync_batch_norm", True),
        ("init_from", "other", "from_noise", False),
    ],
)
def test_a_switch_reaches_it(monkeypatch, flag, value, name, expected):
    monkeypatch.setattr(reopening, "HALI", lambda table, **settings: settings)
    config = Config.of(run_dir="x", channels=1, **{flag: value}).validate()
    assert reopening.make_model(config)[name] is expected


def test_data_that_moved_are_read_where_they_are_now(tmp_path):
    (tmp_path / "now").mkdir()
    images = np.zeros([8, 16, 16], np.uint8)
    np.savez(tmp_path / "now" / "data.npz", x_train=images, x_test=images)
    before, now = (str(tmp_path / name / "data.npz") for name in ("before", "now"))
    config = Config.of(data="npz", data_dir=before, image_size=16, cache_dir=str(tmp_path / "c"))
    with pytest.raises(UserError, match="before"):
        reopening.open_data(config)
    assert len(reopening.open_data(config, now).load("test").images) == 8


def test_decoded_images_are_kept_where_the_user_says(tmp_path):
    (tmp_path / "pictures").mkdir()
    for i in range(4):
        Image.new("L", (16, 16), i).save(tmp_path / "pictures" / f"{i}.png")
    folders = {name: str(tmp_path / name) for name in ("pictures", "before", "now")}
    (tmp_path / "before").write_text("this machine has no such folder")
    flags = {"data": "folder", "data_dir": folders["pictures"], "cache_dir": folders["before"]}
    config = Config.of(image_size=16, **flags)
    with pytest.raises(UserError, match="before.* with --cache_dir"):
        reopening.open_data(config).load("test")
    assert len(reopening.open_data(config, cache_dir=folders["now"]).load("test").images) == 1
    assert list((tmp_path / "now").iterdir())
