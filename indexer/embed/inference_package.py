"""Prepares the package ``inference`` for use as a library: quiet, reporting nothing; and explains its errors.

Names from the source of inference 1.8.3 and inference-models 0.39.5: ``core/env.py``, ``core/logger.py``,
``usage_tracking/config.py``; ``inference_models/errors.py`` and ``configuration.py``.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator

from footage.indexer.embed.roboflow import KEY_HINT

QUIET = {
    "INFERENCE_WARNINGS_DISABLED": "True",
    "IGNORE_MODEL_DEPENDENCIES_WARNINGS": "True",
    "DISABLE_VERBOSE_LOGGER": "True",
}
NOWHERE = "http://127.0.0.1:9/"
"""The discard port of this machine: Inference 1.8.3 has no switch for its usage reports, only their address."""
NO_REPORTS = {
    "METRICS_ENABLED": "False",
    "TELEMETRY_OPT_OUT": "True",  # before 1.8
    "TELEMETRY_USE_PERSISTENT_QUEUE": "False",
    "TELEMETRY_API_USAGE_ENDPOINT_URL": NOWHERE,
    "TELEMETRY_API_PLAN_ENDPOINT_URL": NOWHERE,
}
LOGGERS = ("inference", "roboflow_workflows", "streamvision")
"""Inference gives these a ``rich`` handler, which writes to standard output."""
NETWORK_ERRORS = ("RetryError", "RoboflowAPIConnectionError", "RoboflowAPITimeoutError", "ConnectionError", "Timeout")
ACCESS_ERRORS = (
    "UnauthorizedModelAccessError",
    "ForbiddenModelAccessError",
    "RoboflowAPINotAuthorizedError",
    "RoboflowAPIForbiddenError",
    "MissingApiKeyError",
)
NETWORK_HINT = (
    "Roboflow cannot be reached, and the weights are not cached on this machine: check the network and its proxy, "
    "or choose another way to run the model (embedder: clip)"
)


def prepare_import(*, report_usage: bool) -> None:
    """Set Inference's environment variables that are not set yet, and ignore its warnings; call it before importing.

    Args:
        report_usage: let Inference report its use to Roboflow, as it does by default.
    """
    for name, value in (QUIET if report_usage else QUIET | NO_REPORTS).items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"inference(_models|_sdk)?(\.|$)")


def log_to_stderr() -> None:
    """Make Inference's loggers write to standard error; standard output is for answers. Call it after importing."""
    for name in LOGGERS:
        for handler in logging.getLogger(name).handlers:
            console = getattr(handler, "console", None)
            if console is not None:
                console.file = sys.stderr
            elif isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
                handler.setStream(sys.stderr)


def load_error(model: str, error: Exception, key: str | None) -> str:
    """Return what to tell a person whose model could not be loaded: the reason without the key, and what to do."""
    reason = str(error).replace(key, "***") if key else str(error)
    kinds = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    if kinds & set(NETWORK_ERRORS):
        hint = NETWORK_HINT
    elif kinds & set(ACCESS_ERRORS) or "api key" in reason.lower():
        hint = "is ROBOFLOW_API_KEY right, and may it use this model?" if key else KEY_HINT
    else:
        hint = "see Inference's own message" if key else f"if the weights were never downloaded, {KEY_HINT}"
    return f"Roboflow Inference cannot load {model} ({type(error).__name__}: {reason[:200]}); {hint}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
