# comfy-relay as a container: `docker build -t comfy-relay .`, then see docker-compose.yml.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/comfy-relay

# Dependencies first and alone: this layer is rebuilt only when the lock changes. Every file is checked by its hash.
COPY requirements-runtime.lock ./
RUN pip install --require-hashes -r requirements-runtime.lock

# The build backend is in the lock, so nothing unpinned is fetched here.
COPY pyproject.toml README.md LICENSE ./
COPY app ./app
COPY comfy_relay ./comfy_relay
COPY migrations ./migrations
RUN pip install --no-deps --no-build-isolation .

RUN useradd --system --user-group --uid 10001 --home-dir /data comfy-relay \
    && install --directory --owner comfy-relay --group comfy-relay /data
USER comfy-relay
WORKDIR /data

# Inside a container only 0.0.0.0 can be reached from outside; what is published where, the host decides.
ENV COMFY_RELAY_HOST=0.0.0.0 \
    COMFY_RELAY_PORT=8000 \
    COMFY_RELAY_DATA_DIR=/data \
    COMFY_RELAY_DATABASE_URL=sqlite:////data/comfy-relay.db
VOLUME /data
EXPOSE 8000

# /healthz says that the process lives; whether a job could be finished now, /readyz does.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f'http://127.0.0.1:{os.environ[\"COMFY_RELAY_PORT\"]}/healthz', timeout=2)"]

ENTRYPOINT ["comfy-relay"]
CMD ["serve"]
