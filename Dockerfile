# Two images of one tree: `web` without torch (web, beat, and the release step), `worker` with it.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN useradd --uid 10001 --create-home --home-dir /home/spectrum spectrum \
    && install -d -o spectrum /var/lib/spectrum
ENV SPECTRUM_VAR=/var/lib/spectrum

FROM base AS web
RUN pip install -c constraints.txt -e .
COPY . .
USER spectrum
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8000/healthz', headers={'X-Forwarded-Proto': 'https', 'Host': 'localhost'}), timeout=4)"]
CMD ["granian", "--interface", "asginl", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", \
     "--workers-kill-timeout", "3", "--respawn-failed-workers", "config.asgi:application"]

FROM base AS worker
RUN pip install -c constraints.txt -e '.[worker]'
COPY . .
USER spectrum
CMD ["python", "manage.py", "worker"]
