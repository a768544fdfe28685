"""How the workers of a training meet, with sockets of this machine."""

import json
import socket
import threading
import time

import pytest

from hali_tf.errors import UsageError, UserError
from hali_tf.training import cluster, devices
from tests.cluster import free_addresses, tf_config


@pytest.mark.parametrize("text", ["", "{}", '{"cluster": {}}', '{"cluster": {"worker": ["a:1"]}}'])
def test_one_worker_is_no_cluster(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert cluster.addresses() == ([], 0)


def test_the_chief_comes_first(monkeypatch):
    spec = {"worker": ["b:1", "c:2"], "chief": ["a:1"]}
    for kind, index, own in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        found = {"cluster": spec, "task": {"type": kind, "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(found))
        assert cluster.addresses() == (["a:1", "b:1", "c:2"], own)


@pytest.mark.parametrize(
    "text, words",
    [
        ("worker 0", "JSONDecodeError"),
        ("[]", "AttributeError"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "KeyError: 'task'"),
        (tf_config(["a:1", "b:1"], 2), "IndexError"),
        (tf_config(["a:1", "b:1"], -1), "index -1 is below 0"),
        (tf_config(["a:1", "a:1"], 1), "two workers have one address"),
        (tf_config(["a:1", "b"], 0), "ValueError"),
        (tf_config(["a:1", "b:70000"], 0), "b:70000: no port from 1 to 65535"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}', "tasks of type ps"),
    ],
)
def test_a_config_that_is_none_is_refused(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError) as refused:
        cluster.addresses()
    for part in ("TF_CONFIG=" + text, "expected JSON as", words, "unset it"):
        assert part in str(refused.value)


def test_workers_do_not_split_their_cpu(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:1"], 0))
    with pytest.raises(UsageError, match="--virtual_devices=2 with TF_CONFIG"):
        devices.make_strategy(2)


IPV6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("[::1]", marks=IPV6)])
def test_workers_wait_until_all_are_there(host):
    addresses = [address.replace("127.0.0.1", host) for address in free_addresses(3)]
    there, over = [], threading.Event()
    family = socket.AF_INET6 if "[" in host else socket.AF_INET

    def come(own):
        cluster._meet(addresses, own, minutes=1)
        port = int(addresses[own].rpartition(":")[2])
        with socket.create_server(("", port), family=family):  # TensorFlow's
            there.append(own)
            over.wait(30)

    threads = [threading.Thread(target=come, args=(own,)) for own in range(3)]
    for thread in threads[:2]:
        thread.start()
    threads[0].join(0.5)
    assert not there
    threads[2].start()
    until = time.monotonic() + 30
    while len(there) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    over.set()
    assert sorted(there) == [0, 1, 2]


def test_a_worker_that_does_not_come_is_named():
    addresses = free_addresses(2)
    with pytest.raises(UserError) as missed:
        cluster._meet(addresses, 1, minutes=0.005)
    words = f"after 0.005 minutes (--worker_minutes) no answer from worker 0 ({addresses[0]});"
    assert words in str(missed.value)


def test_hosts_that_are_silent_cost_no_time_of_their_own(monkeypatch):
    def silent(_, timeout):
        time.sleep(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    addresses, start = free_addresses(20), time.monotonic()
    with pytest.raises(UserError) as missed:
        cluster._meet(addresses, 0, minutes=0.01)
    assert time.monotonic() - start < 5  # one after the other they would take eleven seconds
    assert all(f"worker {n} ({addresses[n]})" in str(missed.value) for n in range(1, 20))


def test_a_port_that_is_taken_is_named():
    addresses = free_addresses(2)
    port = int(addresses[0].rpartition(":")[2])
    with socket.create_server(("", port)):
        with pytest.raises(UserError, match=f"worker 0 cannot listen at {addresses[0]}"):
            cluster._meet(addresses, 0, minutes=1)
