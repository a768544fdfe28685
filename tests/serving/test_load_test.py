"""scripts/load_test.py: its arithmetic, its table, and a whole small run."""

import math
import pathlib
import subprocess
import sys
from concurrent import futures

import grpc
import pytest

from scripts import load_test
from scripts.load_testing.clients import percentile, served
from scripts.load_testing.report import report
from tests.serving import toy_models

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts/load_test.py"


def test_percentiles_are_by_nearest_rank():
    ordered = list(range(1, 201))
    assert [percentile(ordered, q) for q in (50, 95, 99)] == [100, 190, 198]
    assert percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 50))


def cell(rate, p50):
    return {"rate": rate, "p50": p50, "p95": 2 * p50, "p99": 3 * p50, "errors": 0}


def results(batched_rate, single_p50):
    return {
        "encode": {
            "in_process": {
                "p50_ms": 4.0,
                "rates": {1: 250.0, 8: 800.0, 16: 1000.0, 32: 900.0, 64: 1.0},
            },
            ("no", 1): cell(200.0, single_p50),
            ("no", 32): cell(300.0, 100.0),
            ("yes", 1): cell(190.0, 6.0),
            ("yes", 32): cell(batched_rate, 40.0),
        }
    }


@pytest.mark.parametrize(
    "rate, p50, cells",
    [
        (810.0, 8.5, ["81%", "yes", "4.5 ms / 2.0 ms", "yes"]),
        (790.0, 9.5, ["79%", "no", "5.5 ms / 2.0 ms", "no"]),
    ],
)
def test_the_report_judges_by_the_best_batched_rate(rate, p50, cells):
    text = report(results(rate, p50), "Measured.", examples=1)
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]
    row = ["`encode`", "yes", "32", f"{rate:.0f}", cells[0], "40.0", "80.0", "120.0", "0", "-"]
    assert row in lines
    assert ["`encode`", *cells] in lines
    for index, line in enumerate(lines[1:], start=1):  # each table's rows have its header's width
        if len(line) > 1 and len(lines[index - 1]) > 1:
            assert len(line) == len(lines[index - 1])


def test_larger_requests_count_by_their_examples():
    refused = {**cell(100.0, 50.0), "errors": 7, "errors_p99": 12.34, "error": "UNAVAILABLE: full"}
    measured = {"encode": {**results(100.0, 8.0)["encode"], ("yes", 256): refused}}
    text = report(measured, "Measured.", examples=8)
    assert "| `encode` | 80% | yes |" in text  # 8 x 100 of 1,000 a second
    assert "| yes | 256 | 100 | 80% | 50.0 | 100.0 | 150.0 | 7 | 12.3 |" in text
    assert "- encode, batching yes, 256 clients: UNAVAILABLE: full" in text


def test_the_newest_version_is_taken(tmp_path):
    for name in ("2", "10", "9", "incoming"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "11").mkdir()  # empty
    assert load_test.newest_version(str(tmp_path)) == str(tmp_path / "10")


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["--model_base_path=/no/such"], 1, "no version there"),
        (["--model_base_path=.", "--out=/no/such/file.md"], 1, "no such folder"),
        (["--model_base_path=.", "--clients=0"], 2, "--clients"),
        (["--model_base_path=.", "--seconds=3600"], 2, "--seconds"),
        (["--model_base_path=.", "--examples=65"], 2, "--examples"),
        ([], 2, "--model_base_path"),
    ],
)
def test_errors(arguments, status, message, capsys):
    try:
        got = load_test.main(arguments)
    except SystemExit as error:
        got = error.code
    assert got == status and message in capsys.readouterr().err


def test_clients_count_answers_latencies_and_errors():
    seen = []

    def answer(request, context):
        seen.append(request)
        if len(seen) % 10 == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "queue is\nfull")
        return b"answer"

    handler = grpc.method_handlers_generic_handler(
        "tensorflow.serving.PredictionService",
        {"Predict": grpc.unary_unary_rpc_method_handler(answer)},
    )
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("localhost:0")
    server.start()
    measured = served(f"localhost:{port}", [b"a", b"b"], clients=3, seconds=0.5)
    server.stop(0).wait()
    answered = measured["rate"] * 0.5
    # All but the six calls before the window and the errors; fewer where the last ones were slow.
    assert 0 < answered <= 1.1 * (len(seen) - 6 - measured["errors"])
    assert measured["errors"] >= 1 and measured["error"] == "UNAVAILABLE: queue is full"
    assert 0 < measured["p50"] <= measured["p95"] <= measured["p99"]
    assert measured["errors_p99"] < 0.5e3
    assert set(seen) == {b"a", b"b"}


@pytest.mark.slow
def test_a_whole_run(tmp_path):
    toy_models.save(str(tmp_path / "base"), 3)
    out = tmp_path / "table.md"
    done = subprocess.run(
        [
            sys.executable,
            str(SCRIPT),
            f"--model_base_path={tmp_path / 'base'}",
            "--clients=1,32",
            "--seconds=0.3",
            f"--out={out}",
            "--signatures=encode,classify_examples,sample",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert done.stdout.strip() == text.strip()
    assert "version 3, 0.3 s a cell" in text and "First errors" not in text
    for signature in ("encode", "classify_examples", "sample"):
        assert text.count(f"| `{signature}` | ") == 4 + 1 + 1
    assert "sample: 32 clients, batching yes:" in done.stderr
