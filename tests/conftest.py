"""What every test may ask for."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(  # a busy machine is no fault; what CI judges is the same each time
    "footage", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("footage")

os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # no test asks a real hub

pytest_plugins = ["tests.cassandra.fixture", "tests.rtsp.fixture"]
