# The emulator of Azure ML with Microsoft's SDK: `docker run --rm --user "$(id -u)" -v "$PWD:/project" IMAGE python script.py` runs a script against an
# emulator of its own, inside, without a network. Nothing listens outside of the container, and what it keeps ends with it.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ARG PIP_INSTALL_ARGS=""
COPY emulator.txt wheelhouse* /tmp/wheelhouse/
COPY bankmlops-*.whl /tmp/package/
RUN python3 -m venv --copies /opt/emulator \
 && /opt/emulator/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --no-compile --require-hashes \
    ${PIP_INSTALL_ARGS} --requirement /tmp/wheelhouse/emulator.txt \
 && /opt/emulator/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --no-index /tmp/package/*.whl \
 && find /opt/emulator/lib -name tests -type d -prune -exec rm -rf {} +
# LightGBM wants the system's OpenMP, which slim images lack: scikit-learn brings one.
RUN mkdir /opt/lib /opt/project && cp /opt/emulator/lib/python3.11/site-packages/scikit_learn.libs/libgomp-*.so.* /opt/lib/libgomp.so.1

FROM ${BASE_IMAGE}
COPY --from=build /opt/emulator /opt/emulator
COPY --from=build /opt/lib /usr/local/lib
COPY --from=build --chown=10001:10001 /opt/project /project
ENV PATH=/opt/emulator/bin:/usr/local/bin:/usr/bin:/bin LD_LIBRARY_PATH=/usr/local/lib HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /project
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/emulator/bin/python", "-m", "bankmlops", "emulator", "run", "--"]
CMD ["python", "-c", "from azureml.core import Workspace; print(Workspace.from_config())"]
