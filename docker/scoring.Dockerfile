# The scoring service and nothing that trains. What it serves is no part of it: mount a folder with service.json at /service and the
# model's bundle at /model, both read-only. It writes telemetry.jsonl into /state, and needs no network but its own port.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ARG PIP_INSTALL_ARGS=""
COPY requirements/scoring.txt wheelhouse* /tmp/wheelhouse/
RUN python3 -m venv --copies /opt/bankmlops \
 && /opt/bankmlops/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: \
    ${PIP_INSTALL_ARGS} --requirement /tmp/wheelhouse/scoring.txt \
 && /opt/bankmlops/bin/python -m pip uninstall --quiet --yes editables hatchling pathspec pluggy tomlkit trove-classifiers setuptools pip \
 && mkdir /opt/state \
 && find /opt/bankmlops/lib -path '*/numpy/*' -name tests -type d -prune -exec rm -rf {} +
COPY src/bankmlops/__init__.py src/bankmlops/errors.py /opt/bankmlops/lib/python3.11/site-packages/bankmlops/
COPY src/bankmlops/features /opt/bankmlops/lib/python3.11/site-packages/bankmlops/features
COPY src/bankmlops/scoring /opt/bankmlops/lib/python3.11/site-packages/bankmlops/scoring
COPY src/bankmlops/types /opt/bankmlops/lib/python3.11/site-packages/bankmlops/types
RUN /opt/bankmlops/bin/python -m compileall -q /opt/bankmlops/lib/python3.11/site-packages

FROM ${BASE_IMAGE}
COPY --from=build /opt/bankmlops /opt/bankmlops
COPY --from=build --chown=10001:10001 /opt/state /state
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
USER 10001:10001
WORKDIR /
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 \
  CMD ["/opt/bankmlops/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/ready', timeout=2)"]
ENTRYPOINT ["/opt/bankmlops/bin/python", "-P", "-m", "bankmlops.scoring"]
CMD ["--service-dir", "/service", "--model-dir", "/model", "--state-dir", "/state", "--host", "0.0.0.0", "--port", "8080"]
