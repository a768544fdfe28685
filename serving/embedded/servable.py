"""One loaded version of a model: loaded and run the way the stock server does it."""

from __future__ import annotations

import threading
from concurrent import futures

import numpy as np
import tensorflow as tf
from grpc import StatusCode

from serving.embedded.status import ServingError, as_serving_error, invalid

_PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


class Servable:
    """A SavedModel in a session of its own.

    Callers lease it (`acquire`, `release`); every run holds a lease until its last row is
    computed, so a version is closed only when nobody uses it.
    """

    def __init__(self, name, version, session, meta_graph, runner):
        """Args:
        name: of the model.
        version: its number.
        session: tf.compat.v1.Session that holds the loaded graph.
        meta_graph: MetaGraphDef with the signatures.
        runner: a `DirectRunner` or a `batching.BatchingRunner`.
        """
        self.name = name
        self.version = version
        self.signatures = dict(meta_graph.signature_def)
        self._session = session
        self._runner = runner
        self._shapes = _placeholder_shapes(session.graph, self.signatures.values())
        self._lock = threading.Lock()
        self._leases = 0
        self._on_idle = None

    @classmethod
    def load(cls, name, version, path, runner, session_config=None) -> Servable:
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
            return cls(name, version, session, meta_graph, runner)
        except BaseException:
            session.close()
            raise

    def submit(self, feeds, fetches) -> futures.Future:
        """Computes tensors, perhaps together with other callers' rows.

        Args:
            feeds: tensor name -> array of the placeholder's dtype.
            fetches: names of the tensors wanted, a tuple.

        Returns:
            A future of the list of arrays, in the order of `fetches`.

        Raises:
            ServingError: the request cannot be run or queued.
        """
        for name, array in feeds.items():
            self._check_shape(name, array.shape)
        self.acquire()
        try:
            future = self._runner.submit(self, feeds, fetches)
        except BaseException:
            self.release()
            raise
        future.add_done_callback(lambda _: self.release())
        return future

    def _check_shape(self, name, shape) -> None:
        """A session in Python takes only what fits the placeholder; the kernels see the rest."""
        expected = self._shapes[name]
        if expected is None:
            return
        fits = len(shape) == len(expected) and all(
            wanted in (None, size) for wanted, size in zip(expected, shape)
        )
        if not fits:
            raise invalid(
                f"Cannot feed value of shape {shape} for Tensor {name}, which has shape {expected}"
            )

    def run(self, feeds, fetches) -> list:
        """Computes tensors now, in this thread. See `submit`."""
        try:
            outputs = self._session.run(list(fetches), feeds)
        except Exception as error:
            raise as_serving_error(error) from error
        return [np.asarray(output) for output in outputs]

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

    def retire(self, on_idle) -> None:
        """No new leases follow; `on_idle` is called when the last one is given back."""
        with self._lock:
            self._on_idle = on_idle

    @property
    def idle(self) -> bool:
        """Whether nobody holds a lease."""
        with self._lock:
            return self._leases == 0

    def close(self) -> None:
        """Frees the session; nobody may hold a lease."""
        self._session.close()
        self._session = None


class DirectRunner:
    """Runs each request by itself, in parallel, on a pool of threads."""

    def __init__(self, executor: futures.Executor):
        self._executor = executor

    def submit(self, servable, feeds, fetches) -> futures.Future:
        """See `Servable.submit`."""
        return self._executor.submit(servable.run, feeds, fetches)


def _placeholder_shapes(graph, signatures) -> dict:
    """Tensor name -> tuple of sizes, None where any size will do; None for any rank."""
    names = {info.name for signature in signatures for info in signature.inputs.values()}
    shapes = {name: graph.get_tensor_by_name(name).shape for name in names}
    return {
        name: None if shape.rank is None else tuple(shape.as_list())
        for name, shape in shapes.items()
    }


def _refuse_what_stock_refuses(graph_def) -> None:
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
