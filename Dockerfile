# syntax=docker/dockerfile:1
# Images for CI: `docker build --target light .` judges files of other tools, `--target models .` runs suites of models.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim AS base
ENV PATH=/opt/slimgate/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1
# Any user of a container may write to HOME and to caches, so that `--user` can be the one who owns /repo.
ENV HOME=/home/slimgate
RUN python -m venv /opt/slimgate \
    && useradd --uid 1000 --create-home slimgate \
    && chmod 1777 /home/slimgate
COPY constraints.txt /opt/slimgate/constraints.txt
WORKDIR /repo
CMD ["slimgate", "--help"]

FROM base AS light
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install -c /opt/slimgate/constraints.txt /wheels/slimgate-*.whl
USER slimgate

FROM base AS models
ARG EXTRAS=models
# The index of CPU builds has not every pinned version of torch's dependencies; those come with slimgate.
RUN pip install --no-deps -c /opt/slimgate/constraints.txt torch --index-url https://download.pytorch.org/whl/cpu
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install -c /opt/slimgate/constraints.txt "$(echo /wheels/slimgate-*.whl)[$EXTRAS]"
USER slimgate
