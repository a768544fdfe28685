"""What starts trainings on several machines: the files of scripts/cluster."""

import configparser
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import jsonschema
import pytest
import yaml

from hali_tf.config import Config
from hali_tf.errors import UsageError
from hali_tf.training import cluster
from hali_tf.training.cluster import WorkerLost
from tests import manifest_schemas

CLUSTER = pathlib.Path(__file__).parents[1] / "scripts" / "cluster"
# A Python that says what it was started with.
PYTHON = '#!/bin/sh\nprintf "%s\\n" "$TF_CONFIG" | tr -d "\\n" >> "$SEEN"; echo " $*" >> "$SEEN"\n'
SCONTROL = """#!/bin/sh
if [ "$1" = show ]; then test "$*" = "show hostnames gpu[1-3]" && printf 'gpu1\\ngpu2\\ngpu3\\n'
else echo "$*" >> "$SEEN"; fi
"""
SRUN = """#!/bin/sh
shift
for SLURM_PROCID in 0 1 2; do export SLURM_PROCID; "$@"; done
exit $SRUN_CODE
"""


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """A folder of commands before all others, and the file in which they say what they did."""
    for name, text in (("python", PYTHON), ("scontrol", SCONTROL), ("srun", SRUN)):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.delenv("PYTHON", raising=False)
    return tmp_path / "seen"


def workers_of(lines, monkeypatch):
    """(addresses, own number, arguments) of each line that the stub of Python wrote."""
    found = []
    for line in lines:
        text, arguments = re.fullmatch(r"(\{.*\}) (.*)", line).groups()
        monkeypatch.setenv("TF_CONFIG", text)
        found.append((*cluster.addresses(), arguments))
    return found


def sbatch(code, **environment):
    return subprocess.run(
        ["bash", CLUSTER / "train.sbatch", "--data=digits", "--run_dir=/a folder"],
        env={**os.environ, "SLURM_JOB_ID": "20123", "SLURM_JOB_NODELIST": "gpu[1-3]",
             "SRUN_CODE": str(code), **environment},
        capture_output=True,
        text=True,
    )  # fmt: skip


def test_sbatch_gives_each_worker_its_config(stubs, monkeypatch):
    done = sbatch(0)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    addresses = [f"gpu{n}:12123" for n in (1, 2, 3)]
    arguments = "-m hali_tf.train --data=digits --run_dir=/a folder"
    assert workers_of(stubs.read_text().splitlines(), monkeypatch) == [
        (addresses, own, arguments) for own in range(3)
    ]


@pytest.mark.parametrize(
    "code, restarts, again",
    [(WorkerLost.exit_code, "", True), (137, "3", True), (143, "", True), (1, "", False),
     (2, "", False), (75, "20", False)],
)  # fmt: skip
def test_sbatch_queues_again_what_can_go_on(stubs, code, restarts, again):
    assert sbatch(code, SLURM_RESTART_COUNT=restarts).returncode == code
    assert ("requeue 20123" in stubs.read_text().splitlines()) == again


def test_sbatch_asks_for_one_worker_a_machine_and_a_signal_to_the_workers():
    options = re.findall(
        r"^#SBATCH --(\S+?)(?:=(\S+))?$", (CLUSTER / "train.sbatch").read_text(), re.M
    )
    options = dict(options)
    assert options["ntasks-per-node"] == "1" and "requeue" in options
    assert re.fullmatch(r"TERM@\d+", options["signal"])  # with B: the script alone would get it


@pytest.fixture
def manifests():
    documents = yaml.safe_load_all((CLUSTER / "jobset.yaml").read_text())
    return {(document["apiVersion"], document["kind"]): document for document in documents}


def errors_of(document):
    """[(place, what is wrong)] by the schema of the document's kind."""
    validator = jsonschema.Draft202012Validator(manifest_schemas.OF_KIND[document["kind"]])
    return [(error.json_path, error.message) for error in validator.iter_errors(document)]


def test_the_manifests_fit_their_schemas(manifests):
    assert {document["kind"] for document in manifests.values()} == {"JobSet", "NetworkPolicy"}
    for document in manifests.values():
        assert errors_of(document) == []


def fields_of(node, path="$"):
    """(path, dict, field) of every field below a node whose name is of Kubernetes."""
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        below = f"{path}[{key}]" if isinstance(node, list) else f"{path}.{key}"
        if isinstance(node, dict) and not path.endswith((".requests", ".limits", ".matchLabels")):
            yield path, node, key
        if isinstance(child, (dict, list)):
            yield from fields_of(child, below)


def test_a_misspelt_field_is_refused_wherever_it_is(manifests):
    """Such as replicatedJob; the server would not take it, or, told so, drop it."""
    count = 0
    for document in manifests.values():
        for path, node, field in list(fields_of(document)):
            if path == "$" and field == "kind":
                continue  # it chooses the schema
            misspelt = field[:-1]
            node[misspelt] = node.pop(field)
            assert any(
                place == path and f"'{misspelt}' was unexpected" in words
                for place, words in errors_of(document)
            ), (path, field)
            node[field] = node.pop(misspelt)
            count += 1
        assert errors_of(document) == []
    assert count > 80


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda spec: spec.pop("replicatedJobs"), "'replicatedJobs' is a required property"),
        (lambda spec: spec["failurePolicy"].update(maxRestarts="20"), "'20' is not of type"),
        (lambda spec: spec["failurePolicy"]["rules"][0].pop("name"), "'name' is a required"),
        (lambda spec: spec["failurePolicy"]["rules"][0].update(action="Fail"), "'Fail' is not one"),
        (lambda spec: spec["network"].update(subdomain="hali.x"), "'hali.x' does not match"),
        (lambda spec: spec["replicatedJobs"][0].update(replicas=-1), "-1 is less than"),
    ],
)
def test_values_that_the_server_would_not_take_are_refused(manifests, change, words):
    document = manifests["jobset.x-k8s.io/v1alpha2", "JobSet"]
    change(document["spec"])
    ((_, said),) = errors_of(document)
    assert said.startswith(words)


def test_the_jobset_starts_all_again_but_not_with_wrong_flags(manifests):
    spec = manifests["jobset.x-k8s.io/v1alpha2", "JobSet"]["spec"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["values"] == [2]
    assert rule["onExitCodes"]["containerName"] == job["template"]["spec"]["containers"][0]["name"]
    assert job["backoffLimit"] == 0 and job["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["failurePolicy"]["maxRestarts"] > 0
    (rule,) = spec["failurePolicy"]["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])


def test_the_pods_of_the_jobset_are_the_workers(manifests, stubs, monkeypatch):
    document = manifests["jobset.x-k8s.io/v1alpha2", "JobSet"]
    (jobs,) = document["spec"]["replicatedJobs"]
    job = jobs["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    count = int(environment["WORKERS"])
    assert job["parallelism"] == job["completions"] == count
    assert job["completionMode"] == "Indexed" and jobs["replicas"] == 1
    for index in range(count):
        subprocess.run(
            [*container["command"], *container["args"]],
            env={**os.environ, **environment, "JOB_COMPLETION_INDEX": str(index)},
            check=True,
        )
    found = workers_of(stubs.read_text().replace("},\n", "},").splitlines(), monkeypatch)
    (port,) = container["ports"]
    name, subdomain = document["metadata"]["name"], document["spec"]["network"]["subdomain"]
    expected = [
        f"{name}-{jobs['name']}-0-{n}.{subdomain}:{port['containerPort']}" for n in range(count)
    ]
    assert [(addresses, own) for addresses, own, _ in found] == [
        (expected, n) for n in range(count)
    ]
    flags = dict(argument[2:].split("=", 1) for argument in container["args"][2:])
    assert flags.keys() <= Config().flat().keys()
    gpus = count * int(container["resources"]["limits"]["nvidia.com/gpu"])
    assert int(flags["batch_size"]) % gpus == 0
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {
        "/" + flags[flag].split("/")[1] for flag in ("run_dir", "data_dir", "cache_dir")
    } == mounts
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in job["template"]["spec"]["volumes"]
    }


def test_only_the_workers_reach_each_other(manifests):
    policy = manifests["networking.k8s.io/v1", "NetworkPolicy"]["spec"]
    workers = {"matchLabels": {"jobset.sigs.k8s.io/jobset-name": "hali"}}
    (rule,) = policy["ingress"]
    assert policy["podSelector"] == workers and rule["from"] == [{"podSelector": workers}]
    assert [port["port"] for port in rule["ports"]] == [12345]


@pytest.fixture
def service():
    text = (CLUSTER / "hali.service").read_text()
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str
    parser.read_string(text)
    return text, parser["Service"]


def test_the_service_starts_a_worker_again_but_not_with_wrong_flags(service, monkeypatch):
    _, fields = service
    variable, _, value = shlex.split(fields["Environment"])[0].partition("=")
    monkeypatch.setenv(variable, value)
    found, own = cluster.addresses()
    assert len(found) == 2 and own == 0
    _, *arguments = shlex.split(fields["ExecStart"])
    assert arguments[:2] == ["-m", "hali_tf.train"]
    names = {argument[2:].partition("=")[0] for argument in arguments[2:]}
    assert names <= Config().flat().keys()
    assert fields["Restart"] == "on-failure"
    assert fields["RestartPreventExitStatus"] == str(UsageError.exit_code)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
@pytest.mark.parametrize("field, is_known", [("RestartSec", True), ("RestartSeconds", False)])
def test_systemd_knows_the_fields_of_the_service(service, tmp_path, field, is_known):
    text = service[0].replace("/opt/hali/bin/python", sys.executable)
    (tmp_path / "hali.service").write_text(text.replace("RestartSec", field))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "hali.service"],
        capture_output=True,
        text=True,
    )
    own = [line for line in done.stderr.splitlines() if "hali.service" in line]
    assert not own if is_known else f"'{field}'" in own[0], done.stderr
