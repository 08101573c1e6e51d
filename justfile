# The handful of commands a newcomer needs.

# Set up a development environment.
setup:
    python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]'

# Run the tests, without the slow ones.
test *args:
    .venv/bin/pytest -m 'not slow' {{args}}

# Run the tests of the page in a browser.
page *args:
    .venv/bin/pytest tests/query/web {{args}}

# Lint, format, types, import arrows.
check:
    .venv/bin/ruff check . && .venv/bin/ruff format . && .venv/bin/mypy && .venv/bin/lint-imports

# Everything that a change must pass.
ci:
    .ci/run

# Measure what docs/performance.md tells, or what is named: just bench cold index
bench *names:
    .venv/bin/python -m bench {{names}}
