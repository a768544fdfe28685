"""One loaded version of a model: loaded and run the way the stock server does it."""

from __future__ import annotations

import threading
from typing import Callable

import numpy as np
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.protobuf import config_pb2

from serving.embedded.limits import Limits
from serving.embedded.scheduler import Arrays, BatchScheduler, Compute
from serving.embedded.signatures import read_signature, serialized_definitions
from serving.embedded.status import ServingError, invalid

_PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


class Servable:
    """A SavedModel in a session of its own.

    Callers lease it (`acquire`, `release`), so that a version is closed only when nobody uses it.

    Args:
      name: of the model.
      version: its number.
      session: holds the loaded graph.
      meta_graph: has the signatures.
      limits: bounds on a request.
      scheduler: batches requests; None: each runs by itself.
    """

    def __init__(
        self,
        name: str,
        version: int,
        session: tf.compat.v1.Session,
        meta_graph: tf.compat.v1.MetaGraphDef,
        limits: Limits,
        scheduler: BatchScheduler | None = None,
    ):
        self.name = name
        self.version = version
        self.limits = limits
        self.definitions = serialized_definitions(meta_graph)
        self.signatures = {
            key: read_signature(definition) for key, definition in meta_graph.signature_def.items()
        }
        self._session = session
        inputs = [each for one in self.signatures.values() for each in one.inputs.values()]
        # As tuples, None for any rank: a TensorShape takes longer to compare with.
        self._shapes = {
            each.name: _dimensions(session.graph.get_tensor_by_name(each.name)) for each in inputs
        }
        self._scheduler = scheduler
        self._computations: dict[tuple, Compute] = {}
        self._lock = threading.Lock()
        self._leases = 0
        self._on_idle: Callable[[], None] | None = None

    @classmethod
    def load(
        cls,
        name: str,
        version: int,
        path: str,
        limits: Limits,
        scheduler: BatchScheduler | None = None,
        session_config: tf.compat.v1.ConfigProto | None = None,
    ) -> Servable:
        """Loads `path` with the tag `serve`.

        Raises:
          tf.errors.OpError, OSError and others of the loader's: what is there cannot be loaded.
          ServingError: it loads here, but the stock server would refuse it.
        """
        graph = tf.Graph()
        session = tf.compat.v1.Session(graph=graph, config=session_config)
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
            _refuse_what_stock_refuses(meta_graph.graph_def)
            graph.finalize()
            return cls(name, version, session, meta_graph, limits, scheduler)
        except BaseException:
            session.close()
            raise

    def run(self, feeds: Arrays, fetches: tuple[str, ...]) -> list[np.ndarray]:
        """Computes tensors, perhaps together with other callers' rows.

        Args:
          feeds: tensor name -> array of the placeholder's dtype.
          fetches: names of the tensors wanted.

        Returns:
          Their arrays in the same order.

        Raises:
          ServingError: the request cannot be run or queued.
          tf.errors.OpError: the graph failed.
        """
        for name, array in feeds.items():
            self._check_shape(name, array.shape)
        compute = self._computation(tuple(sorted(feeds)), fetches)
        # Without rows there is nothing to batch.
        if self._scheduler and not any(array.shape[:1] == (0,) for array in feeds.values()):
            return self._scheduler.run(compute, feeds)
        return compute(feeds)

    def _computation(self, names: tuple[str, ...], fetches: tuple[str, ...]) -> Compute:
        """Feeds -> outputs: the same function for the same tensors, so that they share a queue."""
        key = (names, fetches)
        if key not in self._computations:
            options = config_pb2.CallableOptions(feed=names, fetch=fetches)
            # `make_callable` would look every name up again in each call.
            call = self._session._make_callable_from_options(options)

            def compute(feeds: Arrays) -> list[np.ndarray]:
                return [np.asarray(output) for output in call(*(feeds[name] for name in names))]

            self._computations.setdefault(key, compute)  # of two threads at once the first one's
        return self._computations[key]

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Takes what fits the placeholder; the stock server leaves that to the kernels."""
        expected = self._shapes[name]
        if expected is None or len(expected) == len(shape):
            if all(size in (None, sent) for size, sent in zip(expected or (), shape)):
                return
        raise invalid(
            f"Cannot feed value of shape {shape} for Tensor {name}, which has shape "
            f"{tf.TensorShape(expected)}"
        )

    def acquire(self) -> None:
        """Takes a lease."""
        with self._lock:
            self._leases += 1

    def release(self) -> None:
        """Gives a lease back."""
        with self._lock:
            self._leases -= 1
            on_idle = self._on_idle if self._leases == 0 else None
        if on_idle:
            on_idle()

    def retire(self, on_idle: Callable[[], None]) -> None:
        """No new leases follow; `on_idle` is called when the last one is given back."""
        with self._lock:
            self._on_idle = on_idle

    @property
    def idle(self) -> bool:
        """Whether nobody holds a lease."""
        return self._leases == 0

    def close(self) -> None:
        """Frees the session; nobody may hold a lease."""
        self._computations.clear()
        self._session.close()


def _dimensions(tensor: tf.Tensor) -> tuple[int | None, ...] | None:
    return None if tensor.shape.rank is None else tuple(tensor.shape.as_list())


def _refuse_what_stock_refuses(graph_def: tf.compat.v1.GraphDef) -> None:
    """The stock server has no Python and runs no XLA: better to hear it here than there."""
    nodes = list(graph_def.node)
    for function in graph_def.library.function:
        nodes.extend(function.node_def)
        if function.attr["_XlaMustCompile"].b:
            raise ServingError(
                StatusCode.INTERNAL,
                f"XLA compilation disabled: function {function.signature.name} of the graph "
                "must be compiled, which TF-Serving refuses; export without jit_compile",
            )
    for node in nodes:
        if node.op in _PYTHON_OPS:
            raise ServingError(
                StatusCode.NOT_FOUND,
                f"Op type not registered '{node.op}': node {node.name} calls Python, which "
                "TF-Serving does not have; export without tf.py_function",
            )
