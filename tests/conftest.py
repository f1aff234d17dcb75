"""What holds for every test."""

from __future__ import annotations

import hypothesis

# Time is no property of what is tested: the machine may be busy with other tests.
hypothesis.settings.register_profile(
    "default-here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("default-here")
