"""Which devices --device means, with GPUs that are made up; and that a process keeps to it."""

import io
import subprocess
import sys

import pytest
import tensorflow as tf

from hali_tf.config import Config
from hali_tf.errors import UsageError
from hali_tf.training import devices
from tests.commands import run


@pytest.fixture(params=[0, 3])
def gpus(request, monkeypatch):
    """GPUs that TensorFlow seems to have; `visible` and `growing` are what was set."""

    class Gpus:
        found = [f"/physical_device:GPU:{n}" for n in range(request.param)]
        visible, growing = None, []

    def set_visible(chosen, kind):
        assert kind == "GPU"
        Gpus.visible = chosen

    monkeypatch.setattr(Gpus, "growing", [])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: Gpus.found)
    monkeypatch.setattr(tf.config, "set_visible_devices", set_visible)
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, on: Gpus.growing.append((gpu, on))
    )
    return Gpus


@pytest.mark.parametrize(
    "device, numbers",
    [
        ("auto", [0, 1, 2]),
        ("gpu", [0, 1, 2]),
        ("cpu", []),
        ("gpu:1", [1]),
        ("gpu:2,gpu:0,gpu:2", [2, 0]),
    ],
)
def test_the_devices_that_are_named_are_used_and_their_memory_grows(gpus, device, numbers):
    if not gpus.found and device.startswith("gpu"):
        with pytest.raises(UsageError, match=f"--device={device}: .*TensorFlow finds no GPU"):
            devices.choose(device)
        assert gpus.visible is None
        return
    devices.choose(device)
    expected = [gpus.found[number] for number in numbers] if gpus.found else []
    assert gpus.visible == expected
    assert gpus.growing == [(gpu, True) for gpu in expected]


@pytest.mark.parametrize(
    "gpus, flags, expected",
    [
        ([], {}, ("mixed_bfloat16", "false")),
        ([(8, 0), (9, 0)], {}, ("mixed_bfloat16", "true")),
        ([(7, 5), (8, 0)], {}, ("float32", "true")),
        ([(8, 0)], {"sync_batch_norm": True}, ("mixed_bfloat16", "false")),
        ([(8, 0)], {"remat": True}, ("mixed_bfloat16", "false")),
        ([(8, 0)], {"precision": "float32", "jit_compile": "false"}, ("float32", "false")),
    ],
)
def test_auto_is_decided_by_what_computes(monkeypatch, gpus, flags, expected):
    """GPUs are told by their compute capability; the CPU here computes in bfloat16."""
    found = {f"GPU:{n}": {"compute_capability": gpu} for n, gpu in enumerate(gpus)}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [*found])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", found.__getitem__)
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: True)
    resolved = devices.resolve_auto(Config.of(run_dir="x", **flags)).optimisation
    assert (resolved.precision, resolved.jit_compile) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_bf16\n", "mixed_bfloat16"),
        ("flags\t\t: fpu avx512f\nbugs\t: avx512_bf16\n", "float32"),
        (None, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, text, expected):
    def opened(path, **_):
        assert path == "/proc/cpuinfo"
        if text is None:
            raise FileNotFoundError
        return io.StringIO(text)

    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    monkeypatch.setattr(devices, "open", opened, raising=False)
    assert devices.native_precision() == expected


@pytest.mark.parametrize("device", ["", "tpu", "gpu:3", "gpu:0,cpu", "gpu:0,", "GPU:0"])
def test_unknown_devices_are_refused(gpus, device):
    with pytest.raises(UsageError, match=f"--device={device}: expected auto, cpu, gpu, or GPUs"):
        devices.choose(device)
    assert gpus.visible is None and gpus.growing == []


@pytest.mark.slow
def test_cpu_in_two_parts():
    code = """
import hali_tf
from hali_tf import command
command.import_tensorflow()
from hali_tf.training import devices
devices.choose("cpu")
strategy = devices.make_strategy(2)
print(strategy.num_replicas_in_sync, *strategy.extended.worker_devices)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "2" and "CPU:1" in done.stdout and "GPU" not in done.stdout


@pytest.mark.parametrize("program", ["train", "sample"])
def test_commands_refuse_a_device_that_is_not_there(tmp_path, program):
    flags = (f"--run_dir={tmp_path}", "--device=gpu:9", f"--out={tmp_path}/x")
    code, out, err = run(program, *flags[: 2 if program == "train" else 3])
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1 and "--device=gpu:9: expected" in err
