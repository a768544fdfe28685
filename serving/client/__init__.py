"""Client of a served HALI model: NumPy arrays in, NumPy arrays out, over gRPC.

    from serving.client import HaliClient

    with HaliClient("localhost:8500") as hali:
        levels = hali.encode(images)              # [(mean, stddev), ...], one pair per level
        pictures = hali.decode(levels[-1][0])     # uint8 [B, H, W, C] from the top level
        classes, scores = hali.classify(images)

It talks to TensorFlow Serving and to the project's development server alike, and learns the image
size, the number of levels and the latents' shapes from the server. From a shell:

    python -m serving.client reconstruct --image=photos/ --target=localhost:8500 --out=grid.png

It needs NumPy, grpcio and protobuf (and Pillow for the command), and nothing of TensorFlow or of
`hali_tf`: `pip install ./serving/client` installs it alone.
"""

import signal
import sys

# The command, stopped while its modules are imported, ends without a traceback.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from serving.client.api import HaliClient  # noqa: E402
from serving.client.errors import HaliClientError  # noqa: E402

__all__ = ["HaliClient", "HaliClientError"]
