"""The configuration: what it refuses, what it keeps, and that every field is a flag."""

import pathlib

import pytest

from hali_tf.architectures import ARCHITECTURES
from hali_tf.config import Config
from hali_tf.config.settings import entries
from hali_tf.errors import UsageError, UserError
from tests import commands

CONFIGS = sorted((pathlib.Path(__file__).parents[1] / "configs").glob("*.cfg"))


def make(**values):
    return Config.of(**{"run_dir": "runs/x", **values})


def from_flagfile(path):
    """The values a flagfile sets, as strings."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    values = {}
    for line in lines:
        if line and not line.startswith("#"):
            assert line.startswith("--"), line
            name, found, value = line[2:].partition("=")
            if not found:  # --name and --noname
                name, value = (name[2:], "false") if name.startswith("no") else (name, "true")
            values[name] = value
    return values


def test_defaults_resolve_to_digits():
    config = make().validate()
    assert (config.model.architecture, config.data.image_size) == ("hali16", 16)


@pytest.mark.parametrize(
    "values, flag",
    [
        ({"image_size": -1}, "--image_size=-1"),
        ({"channels": 2}, "--channels=2"),
        ({"model": "vae2"}, "--model=vae2"),
        ({"architecture": "hali17"}, "--architecture=hali17"),
        ({"width": 0.0}, "--width=0.0"),
        ({"width": float("nan")}, "--width=nan"),
        ({"width": float("inf")}, "--width=inf"),
        ({"noise": -0.1}, "--noise=-0.1"),
        ({"gradient_penalty": -1.0}, "--gradient_penalty=-1.0"),
        ({"gradient_penalty": 1.0, "model": "vae"}, "--model=vae"),
        ({"noise": 0.1, "model": "vae"}, "--noise=0.1 with --model=vae"),
        ({"gradient_penalty": 1.0, "precision": "mixed_float16"}, "--precision=mixed_float16"),
        ({"hybrid_joints": "1,x"}, "--hybrid_joints=1,x: expected shares from 0 to 1"),
        ({"hybrid_joints": "nan"}, "--hybrid_joints=nan"),
        ({"hybrid_joints": "0.5,"}, "--hybrid_joints=0.5,"),
        ({"hybrid_joints": "1.5"}, "--hybrid_joints=1.5"),
        ({"hybrid_joints": "-1"}, "--hybrid_joints=-1"),
        ({"hybrid_joints": "1,1,1"}, "at most 2 shares"),
        ({"hybrid_joints": "1,1", "model": "ali"}, "at most 1 shares"),
        ({"hybrid_joints": "1", "model": "vae"}, "--model=vae"),
        ({"hybrid_joints": "1", "labels_per_class": 5, "encoder_only": True}, "--encoder_only"),
        ({"gradient_penalty": 1.0, "labels_per_class": 5, "encoder_only": True}, "--encoder_only"),
        ({"cycle_latents": -1.0}, "--cycle_latents=-1.0"),
        ({"latent_moments": -1.0}, "--latent_moments=-1.0"),
        ({"latent_moments": 1.0, "model": "vae"}, "--latent_moments=1.0 with --model=vae"),
        ({"cycle_contrast": -1.0}, "--cycle_contrast=-1.0"),
        ({"cycle_contrast": 1.0, "model": "vae"}, "--model=vae"),
        ({"cycle_latents": 1.0, "model": "vae"}, "--model=vae"),
        ({"cycle_latents": 1.0, "labels_per_class": 5, "encoder_only": True}, "--encoder_only"),
        ({"image_discriminator": True, "model": "vae"}, "--image_discriminator=True with --model"),
        (
            {"image_discriminator": True, "labels_per_class": 5, "encoder_only": True},
            "--image_discriminator=True with --encoder_only",
        ),
        ({"steps": 0}, "--steps=0"),
        ({"steps": 2**48}, f"--steps={2**48}"),
        ({"batch_size": 0}, "--batch_size=0"),
        ({"learning_rate": 0.0}, "--learning_rate=0.0"),
        ({"learning_rate_fall": "100"}, "--learning_rate_fall=100: expected FIRST,LAST"),
        ({"learning_rate_fall": "5,9", "steps": 10}, "--steps=10 with --learning_rate_fall=5,9"),
        ({"learning_rate": float("inf")}, "--learning_rate=inf"),
        ({"beta_1": 1.0}, "--beta_1=1.0"),
        ({"beta_2": -0.1}, "--beta_2=-0.1"),
        ({"ema_decay": 1.0}, "--ema_decay=1.0"),
        ({"batch_norm_momentum": 1.5}, "--batch_norm_momentum=1.5"),
        ({"precision": "float16"}, "--precision=float16"),
        ({"jit_compile": "yes"}, "--jit_compile=yes"),
        ({"virtual_devices": 0}, "--virtual_devices=0"),
        ({"seed": -1}, "--seed=-1"),
        ({"seed": 2**31}, f"--seed={2**31}"),
        ({"checkpoint_every": 0}, "--checkpoint_every=0"),
        ({"log_every": 0}, "--log_every=0"),
        ({"profile_steps": "10"}, "--profile_steps=10"),
        ({"profile_steps": "20,10"}, "--profile_steps=20,10"),
        ({"profile_steps": "0,3"}, "--profile_steps=0,3"),
        ({"run_dir": ""}, "--run_dir"),
        ({"data": "folder"}, "--image_size"),
        ({"image_size": 48}, "--image_size=48"),
        ({"image_size": 32, "architecture": "hali16"}, "--image_size=32"),
        ({"batch_size": 9, "virtual_devices": 2}, "--virtual_devices=2"),
        ({"batch_size": 12, "virtual_devices": 2, "accumulate": 4}, "--accumulate=4"),
        ({"accumulate": 0}, "--accumulate=0"),
        ({"batch_size": 4, "accumulate": 4}, "one image for each part"),
        ({"batch_size": 1}, "--batch_size=1"),
        ({"batch_size": 1, "sync_batch_norm": True}, "--batch_size=1"),
        ({"profile_steps": "11,12", "steps": 10}, "--profile_steps=11,12 with --steps=10"),
        ({"remat": True, "sync_batch_norm": True}, "--remat with --sync_batch_norm"),
        ({"remat": True, "jit_compile": "true"}, "--remat with --jit_compile=true"),
        ({"accumulate": 2, "sync_batch_norm": True}, "--accumulate=2"),
        ({"sync_batch_norm": True, "jit_compile": "true"}, "--jit_compile=true"),
        ({"model": "ali", "architecture": "hali16"}, "--model=ali"),
        ({"labels_per_class": -1}, "--labels_per_class=-1"),
        ({"classes": 5}, "--classes=5 needs labels"),
        ({"label_shift": 2}, "--label_shift=2"),
        ({"label_warp": 0.1}, "--label_warp=0.1"),
        ({"labels_per_class": 5, "label_warp": 1.5}, "--label_warp=1.5: expected at most 1"),
        ({"labels_per_class": 5, "label_shift": 129}, "--label_shift=129: expected at most 128"),
        ({"labels_per_class": 5, "label_shift": 9}, "--label_shift=9 with images of 16x16"),
        ({"consistency": 1.0}, "--consistency=1.0"),
        ({"label_spreading": "pixels"}, "--label_spreading=pixels needs labels"),
        ({"labels_per_class": 5, "label_spreading": "run"}, "--label_spreading=run with"),
        ({"cycle_labels": 1.0}, "--cycle_labels=1.0"),
        ({"encoder_only": True}, "--encoder_only=True"),
        ({"labels_per_class": 5, "model": "vae"}, "--model=vae"),
        ({"label_weight": 2.0}, "--label_weight=2.0"),
        ({"labels_per_class": 5, "label_weight": 0.0}, "--label_weight=0.0"),
        ({"model": "vae", "architecture": "hali16"}, "--model=vae"),
    ],
)
def test_bad_value_is_named_in_one_line(values, flag):
    with pytest.raises(UsageError) as error:
        make(**values).validate()
    assert flag in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("model, family", [("hali", "hali"), ("ali", "ali"), ("vae", "ali")])
@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_size_and_model_name_an_architecture(model, family, size):
    config = make(data="folder", model=model, image_size=size).validate()
    assert config.model.architecture == f"{family}{size}"
    assert ARCHITECTURES[config.model.architecture].image[0] == size


def test_dry_run_needs_no_run_dir():
    assert Config.of(dry_run=True).validate().model.architecture == "hali16"


def test_json_round_trip(tmp_path):
    config = make(steps=7, learning_rate=3e-4, dropout=False, profile_steps="3,5").validate()
    (tmp_path / "config.json").write_text(config.to_json())
    assert Config.from_file(tmp_path / "config.json") == config


@pytest.mark.parametrize("text", ["", "[1]", '{"no_such_field": 1}', '{"steps": 3'])
def test_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError, match="not a configuration") as error:
        Config.from_file(path)
    assert str(path) in str(error.value)


def test_missing_file_says_what_writes_it(tmp_path):
    with pytest.raises(UserError, match="hali_tf.train"):
        Config.from_file(tmp_path / "config.json")


def test_differences_are_those_that_change_weights():
    one = make(seed=1, steps=10, log_every=5)
    other = make(seed=2, steps=20, log_every=7, run_dir="elsewhere", width=0.5)
    assert one.differences(other) == ["--width: 1.0 here, 0.5 there", "--seed: 1 here, 2 there"]


def test_what_may_change_between_starts():
    """docs/training.md names them; --dry_run trains nothing, and --run_dir is where the run is."""
    names = "steps data_dir cache_dir strict_data checkpoint_every log_every profile_steps device"
    expected = {*names.split(), "worker_minutes", "on_divergence", "run_dir", "dry_run"}
    found = {flag for flag, field, _ in entries(Config) if not field.metadata["changes_weights"]}
    assert found == expected


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_config_is_valid(path):
    kinds = {flag: type(default) for flag, _, default in entries(Config)}
    values = {}
    for name, text in from_flagfile(path).items():
        kind = kinds[name]
        values[name] = text == "true" if kind is bool else kind(text)
    config = Config.of(**values).validate()
    assert config.run_dir == f"runs/{path.stem}"
    named = [model for model in ("ali", "vae") if path.stem.startswith(f"{model}_")]
    assert config.model.kind == (named or ["hali"])[0]
    head = path.read_text().split("--", 1)[0]
    command = f"python -m hali_tf.train --flagfile=configs/{path.name}"
    assert command in path.read_text()
    for entry in ("Source:", "Hardware:", "Expected:", "Command:", "Deviations:"):
        assert f"# {entry}" in path.read_text(), f"{entry} missing in the header ({head[:40]}...)"


def test_help_lists_every_flag():
    _, out, _ = commands.run("train", "--help")
    text = " ".join(out.split())
    for flag, field, _ in entries(Config):
        assert f"--{flag}:" in text or f"--[no]{flag}:" in text
        assert field.metadata["help"].split()[0] in text
    assert "--flagfile=configs/digits.cfg" in text


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--no_such_flag=1"], "no_such_flag"),
        (["--flagfile=configs/none.cfg"], "configs/none.cfg"),
        (["--steps=many"], "steps"),
        (["--steps"], "steps"),
        (["--run_dir=runs/x", "--steps=0"], "--steps=0"),
        (["--run_dir=runs/x", "leftover"], "leftover"),
        (["--run_dir="], "--run_dir"),
    ],
)
def test_wrong_flag_exits_2_with_one_line(arguments, said):
    code, out, err = commands.run("train", *arguments)
    assert (code, out) == (2, ""), err
    assert len(err.splitlines()) == 1 and err.startswith("hali_tf: "), err
    assert said in err
