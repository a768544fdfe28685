"""Opens a page on which you look at a model and play with it.

python -m hali_tf.explore --run_dir=runs/digits
python -m hali_tf.explore --target=localhost:8500 --model=hali

The page is at http://localhost:7860 until Ctrl-C, for this machine alone; nothing is asked of or
sent to any other. It shows a run, or a model behind TensorFlow Serving (or the embedded server).
Choose a picture, or drop one of your own, and:

  Reconstruct   see it rebuilt from every level, with error and time
  Inpaint       paint over a part, and see it predicted round by round
  Traverse      move single entries of the top level and maps of z_1; save what comes of it
  Interpolate   go to a second picture in the latents of each level; films as GIF
  Sample        draw images; a click takes one to the other tabs
  Classify      see the scores of the classes
"""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.errors import UsageError, UserError


def main() -> None:
    """Reads the flags, opens the run or the server, serves the page."""
    flags = configuration.run_flags(instead="target")
    if flags.target and flags.run_dir:
        raise UsageError(f"--target={flags.target}: expected --run_dir or --target; received both")
    if flags.target:
        configuration.refuse_beside("target", ("checkpoint", "data_dir", "cache_dir"))
    else:
        configuration.refuse_beside("run_dir", ("model",))
    if not 0 <= flags.port < 65536:
        raise UsageError(f"--port={flags.port}: expected 1 to 65535, or 0 for a free one")
    if importlib.util.find_spec("gradio") is None:
        raise UserError("Gradio is not installed; install the extra: pip install '.[explore]'")
    command.import_tensorflow()
    from hali_tf.exploring import page, subject
    from hali_tf.training import devices
    from serving.client import HaliClientError

    devices.choose(flags.device)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and what was shown is removed
    try:
        if flags.target:
            explored = subject.of_server(flags.target, flags.model)
        else:
            explored = subject.of_run(
                flags.run_dir, flags.checkpoint, flags.data_dir, flags.cache_dir
            )
        built = page.build(explored)
    except HaliClientError as error:
        raise UserError(f"--target={flags.target}: {error}") from error
    try:
        address = page.launch(built, flags.port, flags.open)
    except OSError as error:
        raise UserError(f"--port={flags.port}: {error}; choose another") from error
    print(f"exploring {explored.name} at {address} (Ctrl-C ends)", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("ended")


if __name__ == "__main__":
    configuration.define_run_flags(
        "hali_tf.explore",
        **configuration.DATA_FLAGS,
        target=("", "Instead of --run_dir: host:port of a server's gRPC port."),
        model=("hali", "With --target: the model's name on the server."),
        port=(7860, "Where the page is; 0: a free one."),
        open=(False, "Whether to open the page in the browser."),
    )
    command.run(main, __doc__)
