"""Batching across requests: the same rows as without it, and the stock server's refusals."""

import os
import threading
import time
from concurrent import futures

import numpy as np
import pytest
from grpc import StatusCode

from hali_tf.errors import UsageError
from serving.embedded.batching import BatchingOptions, BatchScheduler, read_options
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


class FakeServable:
    """Doubles its input; notes the sizes it was run at; can be held."""

    def __init__(self):
        self.sizes = []
        self.inputs = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, feeds, fetches):
        self.gate.wait(10)
        self.sizes.append(len(feeds["x"]))
        self.inputs.append(feeds["x"])
        return [feeds["x"] * 2 for _ in fetches]


@pytest.fixture
def scheduler():
    """Makes schedulers that are closed after the test: scheduler(option=...)."""
    made = []

    def make(**options):
        made.append(BatchScheduler(BatchingOptions(**options)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def rows(*values):
    return {"x": np.array(values, np.float32)}


def test_concurrent_requests_share_a_run(scheduler):
    servable = FakeServable()
    one = scheduler(max_batch_size=6, batch_timeout_micros=10_000_000, num_batch_threads=1)
    results = [one.schedule((servable, ("y",), ("x",)), rows(i, i + 10), 2) for i in range(3)]
    for index, result in enumerate(results):
        np.testing.assert_array_equal(result.result(5)[0], [2 * index, 2 * index + 20])
    assert servable.sizes == [6]  # full: it did not wait for the timeout


def test_timeout_lets_a_lone_request_run(scheduler):
    servable = FakeServable()
    one = scheduler(max_batch_size=64, batch_timeout_micros=50_000)
    started = time.monotonic()
    one.schedule((servable, ("y",), ("x",)), rows(1), 1).result(5)
    assert 0.045 < time.monotonic() - started < 2
    assert servable.sizes == [1]


def test_padding_repeats_the_last_tasks_first_row(scheduler):
    servable = FakeServable()
    one = scheduler(max_batch_size=8, batch_timeout_micros=20_000, allowed_batch_sizes=(4, 8))
    results = [
        one.schedule((servable, ("y",), ("x",)), feeds, len(feeds["x"]))
        for feeds in (rows(1, 2), rows(3, 4, 5))
    ]
    assert [result.result(5)[0].tolist() for result in results] == [[2, 4], [6, 8, 10]]
    assert servable.inputs[0].tolist() == [1, 2, 3, 4, 5, 3, 3, 3]


def test_different_outputs_have_different_queues(scheduler):
    servable = FakeServable()
    one = scheduler(max_batch_size=2, batch_timeout_micros=20_000)
    results = [one.schedule((servable, (name,), ("x",)), rows(1), 1) for name in "ab"]
    for result in results:
        result.result(5)
    assert servable.sizes == [1, 1]


def test_oversize_task(scheduler):
    one = scheduler(max_batch_size=4)
    with pytest.raises(ServingError) as caught:
        one.schedule((FakeServable(), ("y",), ("x",)), rows(*range(5)), 5)
    assert caught.value.code == StatusCode.INVALID_ARGUMENT
    assert caught.value.message == "Task size 5 is larger than maximum input batch size 4"


def test_full_queue(scheduler):
    servable = FakeServable()
    servable.gate.clear()
    one = scheduler(max_batch_size=2, max_enqueued_batches=2, num_batch_threads=1)
    key = (servable, ("y",), ("x",))
    accepted = [one.schedule(key, rows(0, 1), 2)]
    while one._queues:  # until the one thread holds it
        time.sleep(0.001)
    accepted += [one.schedule(key, rows(i, i), 2) for i in (1, 2)]
    with pytest.raises(ServingError) as caught:
        one.schedule(key, rows(3, 3), 2)
    assert caught.value.code == StatusCode.UNAVAILABLE
    message = "full; currently 2 batches enqueued and max_enqueued_batches is 2"
    assert message in caught.value.message
    servable.gate.set()
    assert [result.result(5)[0].tolist() for result in accepted] == [[0, 2], [2, 2], [4, 4]]


def test_large_task_is_split(scheduler):
    servable = FakeServable()
    one = scheduler(
        max_batch_size=100, max_execution_batch_size=4, enable_large_batch_splitting=True
    )
    key = (servable, ("y", "z"), ("x",))
    outputs = one.schedule(key, rows(*range(10)), 10).result(5)
    assert [out.tolist() for out in outputs] == [list(range(0, 20, 2))] * 2
    assert sorted(servable.sizes) == [2, 4, 4]
    with pytest.raises(ServingError, match="scheduling capacity is only 40"):
        one.schedule(key, rows(*range(50)), 50)


def test_cancelled_task_does_not_run(scheduler):
    servable = FakeServable()
    one = scheduler(max_batch_size=4, batch_timeout_micros=50_000)
    key = (servable, ("y",), ("x",))
    dropped, kept = one.schedule(key, rows(1), 1), one.schedule(key, rows(2), 1)
    assert dropped.cancel()
    assert kept.result(5)[0].tolist() == [4]
    assert servable.inputs[0].tolist() == [2]


def test_rows_of_unequal_shape_fail_the_batch_as_in_the_stock_server(scheduler):
    servable = FakeServable()
    one = scheduler(max_batch_size=2, batch_timeout_micros=1_000_000)
    key = (servable, ("y",), ("x",))
    results = [one.schedule(key, {"x": np.zeros((1, width))}, 1) for width in (2, 3)]
    for result in results:
        error = result.exception(5)
        assert error.code == StatusCode.FAILED_PRECONDITION
        assert "padding is turned off" in error.message


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
    assert [options.padded_size(size) for size in (1, 2, 8, 9, 32)] == [1, 8, 8, 32, 32]


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
