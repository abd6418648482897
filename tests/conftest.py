"""Hypothesis profiles: HYPOTHESIS_PROFILE (or --hypothesis-profile) picks dev, ci or nightly."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["servers.fixtures"]

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", max_examples=25, deadline=None, suppress_health_check=SLOW)
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=SLOW)
settings.register_profile("nightly", max_examples=5_000, deadline=None, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
