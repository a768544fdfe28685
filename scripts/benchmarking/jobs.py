"""The jobs of the benchmark: what is measured, each in a process of its own."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hali_tf.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from hali_tf.models import HALI

_CONVOLUTIONS = {
    "Conv2D": ("input", "filter"),
    "Conv2DBackpropInput": ("input_sizes", "filter", "out_backprop"),
    "Conv2DBackpropFilter": ("input", "filter_sizes", "out_backprop"),
}


# Of `make_step`: what a job has where a script does not say it.
PLAIN = {"accumulate": 1, "remat": False, "replicas": 1, "xla": False, "one_pass": True}


def time_step(job: dict[str, Any]) -> dict[str, Any]:
    """`timed` of a train step, peak memory, and on request `_operations`."""
    from hali_tf.training import describe

    model, images, step = make_step(job)
    result = timed(step, job["steps"])
    coders = describe.parameters(model.encoder) + describe.parameters(model.decoder)
    return {
        **result,
        "mebibytes": peak_memory(),
        "parameters": [coders, describe.parameters(model.discriminator)],
        **(_operations(model, images) if job["graph"] else {}),
    }


def peak_memory() -> float:
    """The largest resident set of this process so far, in MiB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_step(job: dict[str, Any]) -> tuple[HALI, np.ndarray, Callable[[], Any]]:
    """The model of a job, random images uint8 [B, H, W, C], and a train step on these."""
    strategy = _make_strategy(job["replicas"])
    model = _make_model(job, strategy)
    return model, *step_of(model, job["batch_size"], strategy)


def step_of(
    model: HALI, batch_size: int, strategy: tf.distribute.Strategy
) -> tuple[np.ndarray, Callable[[], Any]]:
    """Random images, uint8 [B, H, W, C], and a train step of a compiled model on these."""
    import numpy as np
    import tensorflow as tf

    shape = (batch_size, *model.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    model.make_train_function()
    step = model.train_function
    data = iter(
        strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(images).repeat())
    )
    return images, lambda: step(data)["d_loss"].numpy()


def _make_strategy(replicas):
    """Over the first GPUs, or, where there are none, over parts of the CPU."""
    import tensorflow as tf

    from hali_tf.training import devices

    found = len(tf.config.list_physical_devices("GPU"))
    if not found:
        return devices.make_strategy(replicas)
    if replicas > found:
        raise UsageError(f"--replicas={replicas}: expected at most the number of GPUs, {found}")
    devices.choose(",".join(f"gpu:{n}" for n in range(replicas)))
    return devices.make_strategy(1)


def timed(step: Callable[[], Any], count: int) -> dict[str, float]:
    """Seconds of `count` calls after the first three.

    Returns:
      "seconds", their median; "cpu", processor seconds of the cheapest, and "cpu_median"; "first",
      of the very first call.
    """
    times, cpu_times = [], []
    for _ in range(count + 3):
        start, cpu_start = time.perf_counter(), time.process_time()
        step()
        times.append(time.perf_counter() - start)
        cpu_times.append(time.process_time() - cpu_start)
    return {
        "seconds": statistics.median(times[3:]),
        "cpu": min(cpu_times[3:]),
        "cpu_median": statistics.median(cpu_times[3:]),
        "first": times[0],
    }


def _make_model(job, strategy):
    """Returns the HALI of a job with its optimisers."""
    from hali_tf.architectures import ARCHITECTURES
    from hali_tf.config.groups import OptimisationConfig
    from hali_tf.models import HALI
    from hali_tf.training.optimizers import make_optimizer

    architecture = ARCHITECTURES[job["architecture"]]
    architecture = architecture.adapt(architecture.image[2], job["width"])
    settings = OptimisationConfig.of(
        optimizer="Adam", learning_rate=1e-4, beta_1=0.5, beta_2=0.999, precision=job["precision"]
    )
    with strategy.scope():
        model = HALI(
            architecture,
            precision=job["precision"],
            jit_compile=job["xla"],
            one_pass=job["one_pass"],
            accumulate=job["accumulate"],
            remat=job["remat"],
        )
        model.compile(*(make_optimizer(settings) for _ in range(2)))
    return model


def _operations(model, images):
    """What losses and gradients of one step, in one pass, ask of the processor.

    Returns:
      Dict: "flops" of convolutions and matrix products; and processor seconds of the convolutions,
      each run by itself: "convolutions", on inputs that lie in the caches where they fit, and
      "convolutions_cold", on inputs from memory.
    """
    import numpy as np

    operations = _operations_of(model, images.shape)
    larger_than_caches = np.zeros(2**27, np.uint8)
    alone = [_alone(o, larger_than_caches) for o in operations if o.type in _CONVOLUTIONS]
    return {
        "flops": sum(map(_flops_of, operations)),
        "convolutions": sum(cached for cached, _ in alone),
        "convolutions_cold": sum(cold for _, cold in alone),
    }


def _operations_of(model, shape):
    """Those of the graph of losses and gradients of one pass for images of a shape."""
    import tensorflow as tf

    function = tf.function(
        lambda x: model._one_pass_gradients(x, tf.constant([0, 0]), 0, None), autograph=False
    ).get_concrete_function(tf.TensorSpec(shape, tf.uint8))
    return function.graph.get_operations()


def size_of_step(name: str) -> tuple[int, float]:
    """(parameters, FLOPs an image of a step) of a table at full width, in colour; runs no step."""
    from hali_tf.architectures import ARCHITECTURES, cost
    from hali_tf.models import HALI

    batch, table = 4, ARCHITECTURES[name].adapt(3)
    operations = _operations_of(HALI(table), (batch, *table.image[:2], 3))
    return sum(cost.parameters(table).values()), sum(map(_flops_of, operations)) / batch


def _alone(operation, larger_than_caches):
    """Processor seconds of a convolution of a graph, with random inputs from (caches, memory).

    Each is the best of ten runs. Writing the buffer that is `larger_than_caches` before a run takes
    its inputs out of them.
    """
    import tensorflow as tf

    arguments = {
        name: list(operation.outputs[0].shape)
        if name.endswith("sizes")
        else tf.cast(tf.random.stateless_normal(tensor.shape, [0, 1]), tensor.dtype)
        for name, tensor in zip(_CONVOLUTIONS[operation.type], operation.inputs)
    }
    settings = {name: operation.get_attr(name) for name in ("strides", "padding")}

    def seconds(from_memory):
        if from_memory:
            larger_than_caches.fill(1)
        start = time.process_time()
        getattr(tf.raw_ops, operation.type)(**arguments, **settings)
        return time.process_time() - start

    return tuple(min(seconds(from_memory) for _ in range(10)) for from_memory in (False, True))


def _flops_of(operation):
    """2 a multiply-add of one operation; 0 for what is no convolution or matrix product."""
    if operation.type == "Conv2D":
        kernel, maps = operation.inputs[1].shape, operation.outputs[0].shape
    elif operation.type == "Conv2DBackpropInput":
        kernel, maps = operation.inputs[1].shape, operation.inputs[2].shape
    elif operation.type == "Conv2DBackpropFilter":
        kernel, maps = operation.outputs[0].shape, operation.inputs[2].shape
    elif operation.type == "MatMul":
        inner = operation.inputs[0].shape[0 if operation.get_attr("transpose_a") else 1]
        return 2 * inner * operation.outputs[0].shape.num_elements()
    else:
        return 0
    # The kernel [k, k, C, F] at every [B, H, W] of the output.
    return 2 * math.prod((*kernel, *maps[:3]))


def peak(job: dict[str, Any]) -> dict[str, float]:
    """FLOP/s of the best tf.matmul of float32 and of bfloat16."""
    del job
    import tensorflow as tf

    best: dict[str, float] = {}
    multiply = tf.function(tf.matmul, autograph=False)
    for dtype in ("float32", "bfloat16"):
        for size in (1024, 1536, 2048, 3072):
            x = tf.cast(tf.random.stateless_normal([size, size], [0, 1]), dtype)
            for _ in range(8):
                start = time.perf_counter()
                multiply(x, x)
                rate = 2 * size**3 / (time.perf_counter() - start)
                best[dtype] = max(best.get(dtype, 0), rate)
    return best


def pipeline(job: dict[str, Any]) -> float:
    """Images a second of `train_batches`, from the second batch on, for about five seconds."""
    from hali_tf import data

    source = data.open_source(job["data"], job["data_dir"], image_size=job["image_size"])
    images = data.train_batches(source.load("train"), job["batch_size"], 0, 0, 10**9)
    iterator = images.as_numpy_iterator()
    next(iterator)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 5:
        count += len(next(iterator))
    return count / (time.perf_counter() - start)
