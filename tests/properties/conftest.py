"""How hypothesis searches: the same examples each time, no clock, nothing kept between runs."""

import hypothesis

hypothesis.settings.register_profile(
    "input",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("input")
