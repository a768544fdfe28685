"""The client, and a development server, of models that hali_tf exports."""

import signal
import sys

# As in hali_tf/__init__.py: a command stopped while its modules are imported leaves no traceback.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
