"""Training commands that are the workers of one cluster on this machine."""

import json
import socket

from tests import commands
from tests.training_command import TINY


def free_addresses(count):
    """Addresses on this machine whose ports nobody has."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def tf_config(addresses, index):
    """What TF_CONFIG says to one worker."""
    return json.dumps(
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    )


def start(run_dir, flags, program="train"):
    """The commands of a cluster, under way: one for each tuple of flags."""
    addresses = free_addresses(len(flags))
    return [
        commands.start(
            program, *TINY, f"--run_dir={run_dir}", *own, TF_CONFIG=tf_config(addresses, index)
        )
        for index, own in enumerate(flags)
    ]


def finish(processes):
    """[(exit code, stdout, stderr)] of processes."""
    outputs = [process.communicate(timeout=600) for process in processes]
    return [(process.returncode, *output) for process, output in zip(processes, outputs)]


def train(run_dir, count, *flags):
    """The commands of a cluster with the same flags, done; all have to succeed."""
    done = finish(start(run_dir, [flags] * count))
    for code, _, err in done:
        assert code == 0, err
    return done
