# The image of every Tidemark process: the command, the packages and the jars; runs as a plain user.

ARG PYTHON_IMAGE=python:3.11.9-slim-bookworm

FROM ${PYTHON_IMAGE} AS java
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless procps \
    && rm -rf /var/lib/apt/lists/*

FROM java AS build
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY conf conf
COPY streaming/__init__.py streaming/errors.py streaming/
COPY tidemark tidemark
# Jars before the rest of the code, so that a changed line of Python does not fetch them again.
RUN PYTHONPATH=/app TIDEMARK_CONF_DIR=/app/conf TIDEMARK_CACHE_DIR=/opt/tidemark \
    /opt/venv/bin/python -m tidemark.cli jars
COPY . .
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation \
    --config-settings editable_mode=compat --editable .

FROM java
RUN useradd --uid 10001 --create-home tidemark \
    && install --directory --owner tidemark /var/lib/tidemark /app /app/feature_repo/data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/tidemark /opt/tidemark
COPY --from=build --chown=tidemark /app /app
ENV PATH=/opt/venv/bin:$PATH \
    TIDEMARK_CACHE_DIR=/opt/tidemark \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER tidemark
CMD ["tidemark", "--help"]
