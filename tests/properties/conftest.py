"""How hypothesis searches: the same examples each time, no clock, nothing kept between runs.

HALI_TF_EXAMPLES=5000 tries so many of each property instead of 100, and others each time.
"""

import os

import hypothesis

EXAMPLES = os.environ.get("HALI_TF_EXAMPLES")

hypothesis.settings.register_profile(
    "input",
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    max_examples=int(EXAMPLES or 100),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("input")
