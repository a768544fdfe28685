"""The page on which a model is looked at and played with: what it shows, and how it is laid out.

subject     a run folder or a server, with the same methods
views       what each tab shows, as functions of arrays
shown       the files of what the page shows
choosing    the picture that all tabs work on
tabs        one module a tab
page        all of them on one page, and the server of the page
"""

import os

# Before Gradio is imported anywhere: it would report to its makers, and ask for its newest version.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
