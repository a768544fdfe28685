"""The page on which a model is looked at and played with: what it shows, and how it is laid out.

subject          a run folder or a server, with the same methods
served           the encoder and decoder of a server
views            what each tab shows, as functions of arrays
shown            the files of what the page shows
choosing         the picture that all tabs work on
panel            the side of the page, where a picture is chosen
tabs             one module per tab
page             all of them on one page, and the server of the page
gradio_versions  what versions of Gradio name differently
"""

import os
import tempfile

# Of all files that the page shows and receives; it is removed when the process ends.
FOLDER = tempfile.TemporaryDirectory(prefix="hali_tf_")

# Before Gradio is imported anywhere. It would report to its makers and ask for its newest version,
# have its client fetch a list from Hugging Face, leave its files in a folder that all users of the
# machine share, and ask its own page through a proxy whether it is there.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_TEMP_DIR"] = FOLDER.name
_without_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
os.environ["no_proxy"] = ",".join(filter(None, [_without_proxy, "localhost"]))
