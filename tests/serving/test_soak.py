"""The soak test itself."""

import pathlib
import random
import subprocess
import sys

import grpc
import numpy as np
import pytest

from scripts import soak
from scripts.load_testing import soaking
from tests.serving import toy_models as toy
from tests.serving.serving_calls import predict_request

ROOT = pathlib.Path(__file__).parents[2]


def test_bad_requests_are_refused_as_what_they_are(server):
    good = [
        predict_request({"images": toy.images(1)}, "encode").SerializeToString(),
        predict_request({"seeds": np.arange(1)}, "sample").SerializeToString(),
    ]
    call = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    rng = random.Random(0)
    seen = set()
    for _ in range(60):
        with pytest.raises(grpc.RpcError) as caught:
            call(soaking.bad_request(rng.choice(good), rng), timeout=30)
        seen.add(caught.value.code())
    assert seen == soaking.REFUSALS


def test_what_is_counted(server):
    good = predict_request({"images": toy.images(1)}, "encode").SerializeToString()
    soaked = soaking.send(server.grpc, [good], clients=2, seconds=0.5, seed=1)
    assert soaked.good > 0 and soaked.failed == soaked.not_refused == 0
    assert soaked.versions == {2} and soaked.p99 >= soaked.p50 > 0
    wrong = predict_request({"images": toy.images(1)}, "nothing").SerializeToString()
    soaked = soaking.send(server.grpc, [wrong], clients=1, seconds=0.2, seed=1)
    assert soaked.good == soaked.failed > 0 and "FAILED_PRECONDITION" in soaked.examples[0]


def test_without_clients_nothing_is_proven(capsys):
    with pytest.raises(SystemExit) as stop:
        soak.main(["--model_base_path=.", "--clients=0"])
    assert stop.value.code == 2 and "--clients" in capsys.readouterr().err


@pytest.mark.slow
def test_versions_change_under_load(tmp_path):
    toy.save(str(tmp_path), 1)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/soak.py", f"--model_base_path={tmp_path}"]
        + ["--model_name=toy", "--minutes=0.5", "--period=10", "--clients=4"]
        + ["--signatures=encode,sample,decode"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    assert [int(row[0]) for row in rows] == [1, 2, 3]
    assert all(int(row[1]) > 0 and int(row[2]) == 0 and float(row[8]) > 100 for row in rows)
    assert "did not answer" not in done.stderr
