# The image of Footage:
#   docker build -t footage .
#   docker build -t footage --build-arg EXTRAS=cassandra,demo .         more extras of pyproject.toml, separated by commas
#   docker build -t footage --build-arg BASE=python:3.13-slim-bookworm .
# It runs as user 10001 and writes to /data (the index) and /cache (models) only; its root may be read-only.
ARG BASE=python:3.12.11-slim-bookworm@sha256:519591d6871b7bc437060736b9f7456b8731f1499a57e22e6c285135ae657bf7

FROM ${BASE} AS build
ARG EXTRAS=cassandra
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
COPY stream stream
COPY indexer indexer
COPY query query
COPY config config
COPY commands commands
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source
RUN python -m venv /opt/footage \
    && set -- /wheels/footage-*.whl \
    && /opt/footage/bin/pip install --no-cache-dir "$1${EXTRAS:+[${EXTRAS}]}"

FROM ${BASE}
LABEL org.opencontainers.image.title="Footage" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 footage \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin footage \
    && install -d -o 10001 -g 10001 -m 0700 /data /cache
COPY --from=build /opt/footage /opt/footage
ENV PATH=/opt/footage/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    FOOTAGE_DATA=/data \
    FOOTAGE_CACHE=/cache
USER 10001:10001
WORKDIR /data
VOLUME ["/data", "/cache"]
EXPOSE 8710
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=5 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8710/healthz', timeout=3)"]
ENTRYPOINT ["footage"]
CMD ["serve", "--host", "0.0.0.0"]
