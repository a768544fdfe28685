"""The deployment files: each parses as what the stock server reads, and they agree."""

import pathlib
import shutil
import subprocess

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.client import api
from serving.embedded.protos import BatchingParameters, MonitoringConfig, SSLConfig

DEPLOY = pathlib.Path(__file__).parents[2] / "serving" / "deploy"
MODELS_CONFIG = DEPLOY / "base/config/models/models.config"
BATCHING = [DEPLOY / "base/config/server/batching.pbtxt", DEPLOY / "gpu/batching.pbtxt"]
# tensorflow_serving/model_servers/main.cc at the tag that the files pin, as far as they use it.
STOCK_FLAGS = {
    "port",
    "rest_api_port",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "allow_version_labels_for_unavailable_models",
    "enable_batching",
    "batching_parameters_file",
    "monitoring_config_file",
    "enable_grpc_healthcheck_service",
    "ssl_config_file",
    "enable_serialization_as_tensor_content",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
    "num_load_threads",
    "max_num_load_retries",
    "load_retry_interval_micros",
    "grpc_channel_arguments",
}


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def only(path, kind):
    (document,) = [d for d in documents(DEPLOY / path) if d["kind"] == kind]
    return document


def flags_of(arguments):
    pairs = [argument[2:].split("=", 1) for argument in arguments]
    flags = dict(pairs)
    assert len(flags) == len(pairs), "a flag is given twice"
    return flags


@pytest.fixture(scope="module")
def deployment():
    return only("base/deployment.yaml", "Deployment")


@pytest.fixture(scope="module")
def pod(deployment):
    return deployment["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod):
    (container,) = pod["containers"]
    return container


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["serving"]


@pytest.fixture(params=["kubernetes", "compose"])
def arguments(request, container, compose):
    return container["args"] if request.param == "kubernetes" else compose["command"]


def test_every_file_is_covered():
    known = {".yaml", ".pbtxt", ".config", ".sh", ".gitignore"}
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    assert {path.suffix or path.name for path in files} <= known
    for path in files:
        if path.suffix == ".yaml":
            assert documents(path), path


def read_models_config():
    config = text_format.Parse(
        MODELS_CONFIG.read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    return model


def test_models_config():
    model = read_models_config()
    assert model.name == api.DEFAULT_MODEL == "hali"
    assert model.base_path.startswith("/") and model.model_platform == "tensorflow"
    assert set(model.version_labels) == {"stable", "canary"}
    # A label needs its version loaded; with `specific` nothing else loads it.
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)


@pytest.mark.parametrize("path", BATCHING, ids=lambda path: path.parent.name)
def test_batching_parameters(path):
    parameters = text_format.Parse(path.read_text(), BatchingParameters())
    largest = parameters.max_batch_size.value
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) and sizes[0] == 1 and sizes[-1] == largest
    # What the client sends in one message must be what the server takes in one task.
    assert api.DEFAULT_MAX_BATCH <= largest
    assert 0 <= parameters.batch_timeout_micros.value <= 5000
    assert parameters.num_batch_threads.value >= 1 and parameters.max_enqueued_batches.value >= 1


def test_monitoring_config_and_who_scrapes_it(deployment):
    text = (DEPLOY / "base/config/server/monitoring.config").read_text()
    prometheus = text_format.Parse(text, MonitoringConfig()).prometheus_config
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    flags = flags_of(deployment["spec"]["template"]["spec"]["containers"][0]["args"])
    assert prometheus.enable
    assert annotations["prometheus.io/path"] == prometheus.path
    assert annotations["prometheus.io/port"] == flags["rest_api_port"]


def test_flags_are_the_stock_servers(arguments):
    flags = flags_of(arguments)
    assert set(flags) <= STOCK_FLAGS
    # Without these: no start with labels, answers of twice the size, no probes.
    for name in (
        "allow_version_labels_for_unavailable_models",
        "enable_batching",
        "enable_serialization_as_tensor_content",
        "enable_grpc_healthcheck_service",
    ):
        assert flags[name] == "true"
    assert int(flags["model_config_file_poll_wait_seconds"]) > 0
    # All three kinds of parallelism at once are an error of the stock server.
    assert "tensorflow_session_parallelism" not in flags


def test_compose_and_kubernetes_run_the_same_server(container, compose):
    ours, theirs = flags_of(container["args"]), flags_of(compose["command"])
    only_in_kubernetes = {"grpc_channel_arguments"}
    assert {key: ours[key] for key in ours if key not in only_in_kubernetes} == theirs
    assert container["command"] == compose["entrypoint"] == ["tensorflow_model_server"]


def test_ports_are_the_flags_ports(container, compose):
    flags = flags_of(container["args"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": int(flags["port"]), "rest": int(flags["rest_api_port"])}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        # The stock server's names are without the package.
        assert container[probe]["grpc"] == {"port": ports["grpc"], "service": "PredictionService"}
    for service in documents(DEPLOY / "base/service.yaml"):
        for port in service["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]
    for port in ports.values():
        assert f"127.0.0.1:{port}:{port}" in compose["ports"]  # not open to the network
    assert f"/dev/tcp/127.0.0.1/{ports['rest']} " in compose["healthcheck"]["test"][-1]


def test_paths_that_the_flags_name_are_mounted(arguments, container, compose):
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    compose_mounts = dict(reversed(volume.rsplit(":", 2)[:2]) for volume in compose["volumes"])
    for name, value in flags_of(arguments).items():
        if name.endswith("_file"):
            folder, file = value.rsplit("/", 1)
            assert folder in mounts
            assert (DEPLOY / compose_mounts[folder] / file).is_file()
    assert any(read_models_config().base_path.startswith(mount) for mount in mounts)
    assert read_models_config().base_path in compose_mounts
    # A ConfigMap mounted by subPath is never updated.
    assert not any("subPath" in mount for mount in container["volumeMounts"])


def test_config_maps_hold_what_is_mounted(pod):
    kustomization = only("base/kustomization.yaml", "Kustomization")
    maps = {entry["name"]: entry for entry in kustomization["configMapGenerator"]}
    mounted = {v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v}
    assert mounted == set(maps)
    for entry in maps.values():
        for file in entry["files"]:
            assert (DEPLOY / "base" / file).is_file()
    # The reloaded file keeps its map's name; what is read at start only must roll the pods.
    assert maps["hali-models-config"]["options"] == {"disableNameSuffixHash": True}
    assert "options" not in maps["hali-server-config"]


def test_threads_and_memory_fit_the_limits(container, compose):
    batching = text_format.Parse(BATCHING[0].read_text(), BatchingParameters())
    cpus = int(container["resources"]["limits"]["cpu"])
    flags = flags_of(container["args"])
    assert int(flags["tensorflow_intra_op_parallelism"]) == cpus
    assert int(flags["tensorflow_inter_op_parallelism"]) == cpus
    assert batching.num_batch_threads.value == cpus == compose["cpus"]
    assert container["resources"]["limits"]["memory"].lower() == f"{compose['mem_limit']}i"


def test_selectors_and_references_agree(deployment, pod):
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    for service in documents(DEPLOY / "base/service.yaml"):
        assert service["spec"]["selector"] == labels
    budget = only("base/autoscaler.yaml", "PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"] == labels
    policy = only("base/network.yaml", "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    scaler = only("base/autoscaler.yaml", "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert 1 < scaler["minReplicas"] < scaler["maxReplicas"]
    assert "replicas" not in deployment["spec"]  # or each apply would undo the autoscaler
    claim = only("base/models.yaml", "PersistentVolumeClaim")["metadata"]["name"]
    for volumes in (pod["volumes"], only("publisher.yaml", "Pod")["spec"]["volumes"]):
        assert {
            v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v
        } == {claim}


def test_pods_have_time_to_finish(pod, container):
    (command, seconds) = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep" and int(seconds) < pod["terminationGracePeriodSeconds"]


def test_containers_run_without_privileges(pod, container, compose):
    assert pod["securityContext"]["runAsNonRoot"] and compose["user"].split(":")[0] != "0"
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["securityContext"]["readOnlyRootFilesystem"] and compose["read_only"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert compose["cap_drop"] == ["ALL"]
    (models,) = [m for m in container["volumeMounts"] if m["name"] == "models"]
    assert models["readOnly"]
    publisher = only("publisher.yaml", "Pod")["spec"]
    assert publisher["containers"][0]["securityContext"] == container["securityContext"]
    user = dict(publisher["securityContext"])
    assert user.pop("fsGroup") == user["runAsGroup"]  # may write to the volume
    assert user == pod["securityContext"]


def test_the_network_policy_names_who_may_call(container):
    """Nothing that it does not name comes in, and nothing goes out."""
    policy = only("base/network.yaml", "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"] and "egress" not in policy
    clients = {"podSelector": {"matchLabels": {"hali-serving-client": "true"}}}
    namespace = {"kubernetes.io/metadata.name": "monitoring"}
    monitoring = {"namespaceSelector": {"matchLabels": namespace}}
    assert policy["ingress"] == [
        {"from": [peer], "ports": [{"port": port, "protocol": "TCP"}]}
        for peer, port in ((clients, "grpc"), (monitoring, "rest"))
    ]
    assert {port["name"] for port in container["ports"]} == {"grpc", "rest"}
    assert 'hali-serving-client: "true"' in (DEPLOY.parent / "README.md").read_text()


@pytest.fixture
def pem(tmp_path):
    """A key, a certificate and a copy of the script to run beside them."""
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.crt "
        "-subj /CN=localhost -days 2"
    )
    subprocess.run(
        command.split(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    shutil.copy(DEPLOY / "tls/make_ssl_config.sh", tmp_path)
    return tmp_path


@pytest.mark.parametrize("mutual", [False, True])
def test_the_ssl_config_holds_the_pem_texts(pem, mutual):
    files = ["server.key", "server.crt"] + ["server.crt"] * mutual
    certificate = (pem / "server.crt").read_text()
    (pem / "server.crt").write_text('Issuer: O = "Foo, Inc."\n' + certificate)  # as openssl does
    subprocess.run(["./make_ssl_config.sh", *files], cwd=pem, check=True, capture_output=True)
    config = text_format.Parse((pem / "ssl.config").read_text(), SSLConfig())
    assert config.server_key == (pem / "server.key").read_text()
    assert config.server_cert == certificate
    assert config.client_verify == mutual
    assert config.custom_ca == (certificate if mutual else "")
    assert (pem / "ssl.config").stat().st_mode & 0o077 == 0  # it holds the key


def test_the_ssl_script_refuses_what_is_no_pem_file(pem):
    (pem / "notes.txt").write_text("no key")

    def run(*files):
        command = ["./make_ssl_config.sh", *files]
        return subprocess.run(command, cwd=pem, capture_output=True, text=True)

    assert run("server.key").returncode == 2
    done = run("server.key", "notes.txt")
    assert done.returncode == 1 and "notes.txt: not a PEM file" in done.stderr
    assert not (pem / "ssl.config").exists()


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", ["base", "gpu", "tls"])
def test_kustomize_builds(overlay, pem, tmp_path):
    tree = tmp_path / "deploy"
    shutil.copytree(DEPLOY, tree)
    if overlay == "tls":
        subprocess.run(
            [tree / "tls/make_ssl_config.sh", "server.key", "server.crt"],
            cwd=pem,
            check=True,
            capture_output=True,
        )
    done = subprocess.run(["kubectl", "kustomize", tree / overlay], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(done.stdout)}
    (container,) = built["Deployment", "hali-serving"]["spec"]["template"]["spec"]["containers"]
    (server_config,) = [
        d for (kind, name), d in built.items() if name.startswith("hali-server-config-")
    ]
    flags = flags_of(container["args"])
    ports = {p["name"] for p in built["Service", "hali-serving"]["spec"]["ports"]}
    scaled = ("HorizontalPodAutoscaler", "hali-serving") in built
    if overlay == "gpu":
        assert container["image"].endswith("-gpu")
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert server_config["data"]["batching.pbtxt"] == BATCHING[1].read_text()
        assert "monitoring.config" in server_config["data"]
        assert not scaled and built["Deployment", "hali-serving"]["spec"]["replicas"] == 2
    else:
        assert server_config["data"]["batching.pbtxt"] == BATCHING[0].read_text() and scaled
    if overlay == "tls":
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert flags["ssl_config_file"].rsplit("/", 1)[0] in mounts
        assert ports == {"grpc"}  # REST is clear text
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == int(flags["rest_api_port"])
            assert container[probe]["httpGet"]["path"] == f"/v1/models/{read_models_config().name}"
    else:
        assert "ssl_config_file" not in flags and ports == {"grpc", "rest"}
