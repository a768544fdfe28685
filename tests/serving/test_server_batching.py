"""Batching across requests: the same rows as without it, and the stock server's refusals."""

import gc
import os
import threading
import weakref
from concurrent import futures

import numpy as np
import pytest
from grpc import StatusCode

from hali_tf.errors import UsageError
from serving.embedded import inference
from serving.embedded.batching import BatchingOptions, read_options
from serving.embedded.limits import Limits
from serving.embedded.scheduler import BatchScheduler, when_caller_goes
from serving.embedded.servable import Servable
from serving.embedded.status import ServingError
from tests.serving import toy_models as toy
from tests.serving.serving_calls import fails, wait_for

OPTIONS = BatchingOptions(
    max_batch_size=16,
    batch_timeout_micros=5_000,
    max_enqueued_batches=100,
    num_batch_threads=2,
    allowed_batch_sizes=(4, 8, 16),
)


@pytest.fixture
def batch_call(toy_base):
    """Runs the toy's signature `batch` by itself: batch_call(option=...)(rows) -> its outputs."""
    opened = []

    def make(**options):
        scheduler = BatchScheduler(BatchingOptions(**options))
        servable = Servable.load("toy", 1, f"{toy_base}/1", Limits(), scheduler)
        opened.extend([scheduler, servable])
        signature = servable.signatures["batch"]

        def call(rows):
            arrays = {"x": np.array(rows, np.float32)}
            return inference.predict_arrays(servable, signature, arrays, ["rows", "total", "same"])

        return call

    yield make
    for each in opened:
        each.close()


def test_concurrent_requests_share_a_run(batch_call):
    call = batch_call(max_batch_size=6, batch_timeout_micros=60_000_000, num_batch_threads=1)
    with futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(call, [[[i], [i + 10]] for i in range(3)]))
    for i, answer in enumerate(answers):  # full: it did not wait for the timeout
        assert answer["rows"].tolist() == [6, 6]
        assert answer["total"].tolist() == [36, 36]
        assert answer["same"].tolist() == [[i], [i + 10]]


def test_idle_threads_hold_nothing_of_what_they_ran():
    """A version that is unloaded would stay in memory."""
    scheduler = BatchScheduler(BatchingOptions(batch_timeout_micros=1000, num_batch_threads=2))
    computations = [lambda feeds: [feeds["x"]]]
    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda x: scheduler.run(computations[0], {"x": x}), np.zeros([20, 1, 1])))
    alive = weakref.ref(computations.pop())
    wait_for(lambda: gc.collect() is not None and alive() is None, seconds=20)
    scheduler.close()


def test_timeout_lets_a_lone_request_run(batch_call):
    call = batch_call(max_batch_size=64, batch_timeout_micros=20_000)
    assert call([[1], [2]])["rows"].tolist() == [2, 2]


def test_padding_repeats_the_first_row(batch_call):
    call = batch_call(max_batch_size=8, allowed_batch_sizes=(5, 8))
    answer = call([[1], [20], [300]])
    assert answer["rows"].tolist() == [5, 5, 5]
    assert answer["total"].tolist() == [323, 323, 323]
    assert answer["same"].tolist() == [[1], [20], [300]]


def test_large_task_is_split(batch_call):
    call = batch_call(
        max_batch_size=100,
        max_execution_batch_size=4,
        max_enqueued_batches=10,
        enable_large_batch_splitting=True,
    )
    answer = call([[i] for i in range(10)])
    assert answer["rows"].tolist() == [4] * 8 + [2] * 2
    assert answer["same"].ravel().tolist() == list(range(10))
    with pytest.raises(ServingError, match="scheduling capacity is only 40") as caught:
        call([[i] for i in range(50)])
    assert caught.value.code == StatusCode.UNAVAILABLE


def test_rows_of_unequal_shape_fail_the_batch_they_meet_in(batch_call):
    call = batch_call(max_batch_size=2, batch_timeout_micros=60_000_000, num_batch_threads=1)
    with futures.ThreadPoolExecutor(2) as pool:
        errors = [
            one.exception(30) for one in [pool.submit(call, np.zeros((1, w))) for w in (2, 3)]
        ]
    for error in errors:
        assert error.code == StatusCode.FAILED_PRECONDITION
        assert "padding is turned off" in error.message


def test_rows_of_callers_that_have_gone_are_not_computed(batch_call):
    call = batch_call(max_batch_size=6, batch_timeout_micros=60_000_000, num_batch_threads=1)
    gone = []

    def leave():
        when_caller_goes.set(gone.append)
        call([[7], [7]])

    with futures.ThreadPoolExecutor(3) as pool:
        left = pool.submit(leave)
        wait_for(lambda: gone)
        gone[0]()
        assert left.exception(30).code == StatusCode.CANCELLED
        for answer in pool.map(call, [[[1], [2]], [[3], [4]]]):
            assert answer["rows"].tolist() == [4, 4] and answer["total"].tolist() == [10, 10]


def test_a_task_that_fails_waits_for_its_pieces_that_still_run():
    """Its lease keeps the version loaded for them."""
    options = BatchingOptions(
        enable_large_batch_splitting=True,
        max_batch_size=2,
        max_execution_batch_size=1,
        num_batch_threads=2,
    )
    scheduler = BatchScheduler(options)
    begun, may_end = threading.Event(), threading.Event()

    def compute(feeds):
        if feeds["x"][0] == 0:
            assert begun.wait(30)
            raise ValueError("the first piece")
        begun.set()
        assert may_end.wait(30)
        return [feeds["x"]]

    with futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(scheduler.run, compute, {"x": np.array([0, 1])})
        with pytest.raises(futures.TimeoutError):
            call.result(1)
        may_end.set()
        with pytest.raises(ValueError, match="the first piece"):
            call.result(30)
    scheduler.close()


@pytest.mark.parametrize("api", ["gRPC", "REST"])
def test_calls_whose_time_is_over_are_not_computed(embed, tmp_path, api):
    toy.save(tmp_path, 1, warmup=())  # each warm-up request would wait for a full batch
    options = BatchingOptions(max_batch_size=2, batch_timeout_micros=60_000_000)
    server = embed(tmp_path, batching=options, rest_api_port=0, rest_api_timeout_in_ms=3000)
    server.status()  # is connected
    if api == "gRPC":
        with fails(StatusCode.DEADLINE_EXCEEDED):
            server.predict({"x": np.ones((1, 1), np.float32)}, "batch", timeout=3)
    else:
        body = {"signature_name": "batch", "instances": [[1]]}
        assert server.http("/v1/models/toy:predict", body)[0] == 504
    answer = server.predict({"x": np.ones((1, 1), np.float32)}, "batch")
    assert answer["rows"].tolist() == [1]


@pytest.mark.parametrize("splitting", [False, True])
def test_concurrent_calls_of_mixed_sizes_get_their_own_rows(embed, toy_base, splitting):
    options = OPTIONS
    if splitting:
        options = BatchingOptions(
            max_batch_size=64,
            max_execution_batch_size=8,
            allowed_batch_sizes=(2, 8),
            enable_large_batch_splitting=True,
            batch_timeout_micros=2_000,
            max_enqueued_batches=1000,
        )
    server = embed(toy_base, batching=options)

    def call(index):
        images = toy.images(1 + index % 11, seed=index)
        outputs = server.predict({"images": images}, "encode")
        np.testing.assert_allclose(outputs["z_2"], toy.expected_z_2(images, 2))
        both = server.predict({"images": images}, "reconstruct", output_filter=["reconstruction_1"])
        np.testing.assert_array_equal(both["reconstruction_1"], images + 2)
        rows = server.classify([toy.example(image) for image in images[:3]])
        scores = [row.classes[1].score for row in rows.result.classifications]
        np.testing.assert_allclose(scores, images[:3, 0, 0, 0] * 2.0)
        return len(images)

    with futures.ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(call, range(96))) == sum(1 + index % 11 for index in range(96))


def test_refusals_over_grpc(embed, toy_base):
    server = embed(toy_base, batching=OPTIONS)
    with fails(
        StatusCode.INVALID_ARGUMENT, "Task size 17 is larger than maximum input batch size 16"
    ):
        server.predict({"images": toy.images(17)}, "encode")
    with fails(StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions"):
        server.predict({"x": np.ones((1, 4), np.float32)}, "scalar")
    with fails(StatusCode.INVALID_ARGUMENT, "must have equal 0th-dimension size"):
        server.predict({"a": np.ones((1, 2), np.float32), "b": np.ones((2, 2), np.float32)}, "add")
    with fails(StatusCode.INVALID_ARGUMENT, "uint8 but float"):
        server.predict({"images": np.zeros((1, 8, 8, 1), np.float32)}, "encode")
    assert server.predict({"images": toy.images(0)}, "encode")["z_2"].shape == (0, 4)
    server.predict({"images": toy.images(16)}, "encode")


def test_queue_fills_over_grpc(embed, tmp_path):
    gate = tmp_path / "gate"
    toy.save(str(tmp_path), 1, gate=str(gate), warmup=())
    options = BatchingOptions(max_batch_size=1, max_enqueued_batches=1, num_batch_threads=1)
    server = embed(tmp_path, batching=options)
    x = {"x": np.ones((1, 4), np.float32)}
    with futures.ThreadPoolExecutor(6) as pool:
        first = pool.submit(server.predict, x, "slow")
        wait_for(lambda: os.path.exists(toy.reached(gate)))
        others = [pool.submit(server.predict, x, "slow") for _ in range(5)]
        wait_for(lambda: sum(call.done() for call in others) == 4)
        gate.touch()
    assert not first.exception()
    codes = [call.exception().code() if call.exception() else None for call in others]
    assert codes.count(None) == 1
    assert codes.count(StatusCode.UNAVAILABLE) == 4


TEXT = """
max_batch_size { value: 32 } batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 64 } num_batch_threads { value: 2 }
allowed_batch_sizes: 1 allowed_batch_sizes: 8 allowed_batch_sizes: 32
thread_pool_name { value: "hali" }
"""


def test_stock_parameters_file(tmp_path):
    file = tmp_path / "batching.txt"
    file.write_text(TEXT)
    options = read_options(str(file))
    assert options.allowed_batch_sizes == (1, 8, 32)
    assert (options.max_batch_size, options.batch_timeout_micros) == (32, 1000)
    assert (options.num_batch_threads, options.max_enqueued_batches) == (2, 64)


@pytest.mark.parametrize(
    "text, message",
    [
        ("max_batch_size: 3", "not a text BatchingParameters"),
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0"),
        ("num_batch_threads { value: -1 }", "num_batch_threads must be positive"),
        ("batch_timeout_micros { value: -1 }", "must be non-negative"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "last entry was 4; expected 8"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [8, 8]", "must increase"),
        ("pad_variable_length_inputs: true", "not offered"),
        (
            "enable_large_batch_splitting { value: true } max_batch_size { value: 8 } "
            "max_execution_batch_size { value: 9 }",
            "from 1 to max_batch_size",
        ),
    ],
)
def test_bad_parameters_file(tmp_path, text, message):
    file = tmp_path / "batching.txt"
    file.write_text(text)
    with pytest.raises(UsageError, match=message.replace("(", r"\(")) as caught:
        read_options(str(file))
    assert "--batching_parameters_file" in str(caught.value)
    assert "\n" not in str(caught.value)
