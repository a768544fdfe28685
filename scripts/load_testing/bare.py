"""The bare model in a TensorFlow session, as the servers use it."""

from __future__ import annotations

import functools
import statistics
import time
from typing import Any

from scripts.load_testing.requests import make_inputs

BATCH_SIZES = (1, 8, 16, 32, 64)


def in_process(version_dir: str, signature: str, seconds: float) -> dict:
    """Rates of one signature in a bare session. Runs in a child process of its own.

    Args:
      version_dir: folder of the SavedModel.
      signature: its name.
      seconds: about half of them for batch 1, and all for the other sizes together.

    Returns:
      {"p50_ms": median latency at batch 1, "rates": {batch size: examples a second}}.
    """
    session, signatures = _load(version_dir)
    definition = signatures[signature]
    ((name, info),) = definition.inputs.items()
    run = session.make_callable(
        [output.name for output in definition.outputs.values()], feed_list=[info.name]
    )
    rates, latencies = {}, []
    for size in BATCH_SIZES:
        batch = make_inputs(signature, name, info, size, seed=size)
        run(batch)
        run(batch)
        times: list[float] = []
        end = time.perf_counter() + seconds / (2 if size == 1 else len(BATCH_SIZES))
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            run(batch)
            times.append(time.perf_counter() - start)
        rates[size] = size * len(times) / sum(times)
        if size == 1:
            latencies = times
    return {"p50_ms": 1e3 * statistics.median(latencies), "rates": rates}


@functools.lru_cache(maxsize=1)
def _load(version_dir: str) -> tuple[Any, dict]:
    """(open session, signatures by name)."""
    import tensorflow as tf  # here, since the process of the clients imports this module too

    tf.get_logger().setLevel("ERROR")  # the loader's deprecation; the servers load this way
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.loader.load(
            session, [tf.saved_model.SERVING], version_dir
        )
    return session, dict(meta_graph.signature_def)
