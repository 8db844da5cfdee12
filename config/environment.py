"""How settings are read from environment variables: words, lists, the secret key, the database's address."""

import os
import secrets
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def env_bool(name, default):
    return os.environ.get(name, str(default)).strip().lower() in {"1", "true", "yes", "on"}


def env_list(name, default=""):
    return [item.strip() for item in os.environ.get(name, default).split(",") if item.strip()]


def secret_key(embedded_mode, var):
    """SECRET_KEY from the environment; in embedded mode one made once under var/, for its owner only."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    if not embedded_mode:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. A site with its own DATABASE_URL or BROKER_URL needs a long random "
            "SECRET_KEY in its environment, the same for every process."
        )
    var.mkdir(parents=True, exist_ok=True)
    path = var / "secret-key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(50))
    return path.read_text().strip()


def database(url):
    """Django's DATABASES entry for postgresql://user:password@host:port/name?host=/socket/dir."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"DATABASE_URL must begin with postgresql://, not {parts.scheme}://")
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "postgres",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or parts.hostname or "",
        "PORT": parts.port or options.pop("port", ""),
        # Reconnecting at each request costs seven tenths of the throughput: keep a pool.
        "OPTIONS": {"pool": {"min_size": 1, "max_size": 16, "timeout": 4}, "connect_timeout": 5, **options},
    }
