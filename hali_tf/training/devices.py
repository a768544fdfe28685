"""Devices, replicas and the precision that suits them."""

from __future__ import annotations

import tensorflow as tf

from hali_tf.config import Config
from hali_tf.errors import UsageError
from hali_tf.training import cluster


def choose(device: str) -> None:
    """Lets TensorFlow use the devices of `--device` alone, and take a GPU's memory as it needs it.

    Otherwise TensorFlow would reserve all memory of all GPUs at its start. To be called before it
    has used a device.

    Args:
      device: "auto" for all GPUs, or the CPU where there are none; "cpu"; "gpu" for all of them;
        "gpu:1" or "gpu:0,gpu:2" for some.

    Raises:
      UsageError: there are no such devices.
    """
    found = {f"gpu:{n}": gpu for n, gpu in enumerate(tf.config.list_physical_devices("GPU"))}
    names = {"auto": [*found], "cpu": [], "gpu": [*found]}.get(device, device.split(","))
    if not set(names) <= set(found) or device == "gpu" and not found:
        raise UsageError(
            f"--device={device}: expected auto, cpu, gpu, or GPUs by name, such as gpu:0,gpu:1; "
            f"TensorFlow finds {', '.join(found) or 'no GPU'}"
        )
    gpus = [found[name] for name in dict.fromkeys(names)]
    tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


def make_strategy(virtual_devices: int, worker_minutes: float = 10) -> tf.distribute.Strategy:
    """MirroredStrategy over all GPUs, or over the CPU in `virtual_devices` parts.

    Where TF_CONFIG names several workers, their MultiWorkerMirroredStrategy, when all are there.
    To be called before TensorFlow has used a device.

    Args:
      virtual_devices: parts of the CPU.
      worker_minutes: how long to wait for other workers.

    Raises:
      UsageError: virtual devices were asked for where there are GPUs or several workers, or
        TF_CONFIG cannot be used.
      UserError: a worker did not come.
    """
    addresses, own = cluster.addresses()
    if addresses:
        if virtual_devices > 1:
            raise UsageError(
                f"--virtual_devices={virtual_devices} with TF_CONFIG: a worker has one CPU; drop "
                "one of the two"
            )
        return cluster.join(addresses, own, worker_minutes)
    if virtual_devices == 1:
        gpus = tf.config.list_logical_devices("GPU")
        return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus] or ["CPU:0"])
    if tf.config.get_visible_devices("GPU"):
        raise UsageError(
            f"--virtual_devices={virtual_devices} splits the CPU, but this machine has GPUs; "
            "drop the flag, or hide the GPUs with --device=cpu"
        )
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * virtual_devices
    tf.config.set_logical_device_configuration(cpu, parts)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(virtual_devices)])


def resolve_auto(config: Config) -> Config:
    """The config with precision and jit_compile "auto" decided for this machine.

    On CPUs XLA runs this model about 3 times slower than oneDNN; on GPUs it should be faster.
    """
    gpus = tf.config.get_visible_devices("GPU")
    asked = config.optimisation
    precision, jit_compile = asked.precision, asked.jit_compile
    if precision == "auto":
        precision = native_precision()
    if jit_compile == "auto":
        without = asked.sync_batch_norm or asked.remat
        jit_compile = "true" if gpus and not without else "false"
    return config.replace(precision=precision, jit_compile=jit_compile)


def native_precision() -> str:
    """mixed_bfloat16 where this machine computes in it, else float32."""
    gpus = tf.config.get_visible_devices("GPU")
    native = all(map(_gpu_has_bfloat16, gpus)) if gpus else _cpu_has_bfloat16()
    return "mixed_bfloat16" if native else "float32"


def _gpu_has_bfloat16(gpu):
    return tf.config.experimental.get_device_details(gpu).get("compute_capability", (0,)) >= (8, 0)


def _cpu_has_bfloat16():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as f:
            return any("avx512_bf16" in line for line in f if line.startswith("flags"))
    except OSError:
        return False
