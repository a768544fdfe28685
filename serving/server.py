"""The embedded development server, with the flags of the stock server.

python -m serving.server --model_base_path=DIR --model_name=hali --port=8500 --rest_api_port=8501

Serves what `python -m hali_tf.export` wrote, over gRPC and REST, the way TF-Serving does: for
development and for tests. Production is TF-Serving itself. Exit code: 0 after a drain, 1 for an
error outside of the program, 2 for a flag that cannot work.
"""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING

from absl import flags

from hali_tf import command
from hali_tf.errors import UserError
from serving.embedded.flags import define_flags

if TYPE_CHECKING:
    from tensorflow_serving.config.model_server_config_pb2 import ModelConfigList

    from serving.embedded.server import EmbeddedServer

_log = logging.getLogger("serving")

_FIRST_LINE = (
    "hali_tf embedded server, for development and tests; in production run TF-Serving "
    "(tensorflow/serving, see serving/README.md)"
)


def main() -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
      UserError: a flag cannot work, a port is taken, a model cannot be loaded.
    """
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        force=True,
    )
    _log.info(_FIRST_LINE)  # before TensorFlow, which takes seconds to import
    command.import_tensorflow()

    from serving.embedded.configuration import options_of
    from serving.embedded.server import EmbeddedServer

    values = flags.FLAGS
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    options = options_of(values)
    server = EmbeddedServer(options)
    failures: list[Exception] = []
    try:
        server.listen()
        threading.Thread(target=_start_up, args=(server, stop, failures), daemon=True).start()
        if values.model_config_file and values.model_config_file_poll_wait_seconds:
            poll = (server, options.models, values, stop)
            threading.Thread(target=_poll_config, args=poll, daemon=True).start()
        stop.wait()
        _log.info("draining")
    finally:
        server.stop()
    if failures:
        raise failures[0]


def _start_up(server: EmbeddedServer, stop: threading.Event, failures: list) -> None:
    try:
        server.wait_until_loaded()
    except Exception as error:  # whatever it is, the process ends and says so
        if not stop.is_set():
            failures.append(error)
            stop.set()


def _poll_config(
    server: EmbeddedServer,
    current: ModelConfigList,
    values: flags.FlagValues,
    stop: threading.Event,
) -> None:
    """Applies --model_config_file whenever it has changed from the `current` configuration."""
    from serving.embedded.configuration import read_models
    from serving.embedded.status import ServingError

    path = values.model_config_file
    while not stop.wait(values.model_config_file_poll_wait_seconds):
        try:
            models = read_models(path)
            if models != current:
                server.manager.apply(models)
                current = models
                _log.info("%s applied", path)
        except (UserError, ServingError) as error:
            _log.error("%s not applied: %s", path, error)
        except Exception:  # the thread outlives whatever a disk does
            _log.exception("%s not applied", path)


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    command.run(main, __doc__)
