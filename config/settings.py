"""Every setting of Spectrum, read from plain environment variables.

Without DATABASE_URL and BROKER_URL the site runs on engines embedded under SPECTRUM_VAR ("embedded mode").
With either it is a production site, and refuses to start without a SECRET_KEY of its own.
"""

import os
from pathlib import Path

from csp.constants import NONE, SELF

from config import embedded, lookups
from config.environment import database, env_bool, env_list, secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("SPECTRUM_VAR") or BASE_DIR / "var").resolve()

# Names this site's processes, so that two sites on one machine never touch each other's.
SITE_NAME = embedded.socket_dir(VAR).name
EMBEDDED = not (os.environ.get("DATABASE_URL") or os.environ.get("BROKER_URL"))
DEBUG = env_bool("DEBUG", False)
SECRET_KEY = secret_key(EMBEDDED, VAR)
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
BEHIND_PROXY = env_bool("BEHIND_PROXY", False)
# Secure by default, except where nobody but this machine can connect and no proxy speaks for others.
LOOPBACK = os.environ.get("HOST") in {"127.0.0.1", "localhost", "::1"}
HTTPS = env_bool("HTTPS", BEHIND_PROXY or not (EMBEDDED or LOOPBACK))

INSTALLED_APPS = [
    "papers",
    "reproduce",
    "explorer",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.sitemaps",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "csp",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "explorer.timing.ServerTimingMiddleware",
    "explorer.outage.DatabaseOutageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": database(os.environ.get("DATABASE_URL") or embedded.database_url(VAR))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Rate limits must hold across processes, so the cache they count in is shared: the database itself.
# Its default of 300 entries would forget people's counts as soon as it is busy.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}

# Sign-in
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_ADAPTER = "explorer.signing_in.Adapter"
# The pages of explorer/signing_in.py count these by address; what is left is counted by allauth.
ACCOUNT_RATE_LIMITS = {"login": None, "signup": None, "reset_password": "5/m/key", "login_failed": "5/5m/key"}
# Names that the history gives to what is no person.
ACCOUNT_USERNAME_BLACKLIST = ["sweeper", "spectrum", "corpus", "moderator", "operator"]
# An embedded site has no mail server; a production site confirms addresses.
ACCOUNT_EMAIL_VERIFICATION = "none" if EMBEDDED else "mandatory"
PROVIDERS = {"github": "https://github.com", "orcid": "https://orcid.org"}
SOCIALACCOUNT_PROVIDERS = {
    name: {"APP": {"client_id": client, "secret": os.environ.get(f"{name.upper()}_SECRET", "")}}
    for name in PROVIDERS
    if (client := os.environ.get(f"{name.upper()}_CLIENT_ID"))
}
# Only what is configured: the pages of one that is not would fail.
INSTALLED_APPS += [f"allauth.socialaccount.providers.{name}" for name in SOCIALACCOUNT_PROVIDERS]
EMAIL_BACKEND = (
    f"django.core.mail.backends.{'smtp' if os.environ.get('EMAIL_HOST') else 'console'}.EmailBackend"
)
EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_TIMEOUT = 10  # seconds: a mail server that hangs must not hold up a worker
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "spectrum@localhost")

# Where people reach the site: for links in e-mails, which no request tells.
SITE_URL = (os.environ.get("SITE_URL") or f"http://localhost:{os.environ.get('PORT') or 8000}").rstrip("/")

# Safe by default
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
CSRF_FAILURE_VIEW = "explorer.errors.stale_form"  # shows what was typed, so that nothing is lost
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 6 * 2**20
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        # Signing in with a provider is a form of ours that it answers: browsers count that redirect too.
        "form-action": [SELF, *(PROVIDERS[name] for name in SOCIALACCOUNT_PROVIDERS)],
        "frame-ancestors": [NONE],
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = VAR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
# A checkout serves its static files as they stand; a production image may run collectstatic besides.
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "explorer.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["explorer.permissions.SignedInToWrite"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["explorer.strict_json.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "rest_framework.throttling.UserRateThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {"anon": "600/min", "user": "1200/min"},
    # Whom a throttle counts: without a proxy of ours in front, X-Forwarded-For is whatever the client says.
    "NUM_PROXIES": 1 if BEHIND_PROXY else 0,
    "EXCEPTION_HANDLER": "explorer.api.problem",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Spectrum",
    "DESCRIPTION": "The living, measured database of research on efficient large language models.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "OAS_VERSION": "3.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None, "defaultModelsExpandDepth": 0},
    "ENUM_NAME_OVERRIDES": {
        "ClaimBetter": "papers.models.Claim.Better",
        "ClaimKind": "papers.models.Claim.Kind",
        "OutcomeOfReview": "papers.models.ClaimProposal.Decision",  # contributions have the same
        "EntryDecision": "papers.models.Entry.Decision",
        "PaperOrigin": "papers.models.Paper.Origin",
        "RunOrigin": "reproduce.models.Run.Origin",
        "RunStatus": "reproduce.models.Run.Status",
        "WorkerOrders": "reproduce.models.Worker.Orders",
        "Verdict": "reproduce.models.Measurement.Verdict",
    },
}

# The pool. A message is only a doorbell, so nothing of Celery's own is kept: no results, no retries.
CELERY_BROKER_URL = os.environ.get("BROKER_URL") or embedded.broker_url(VAR)
# On RabbitMQ, quorum queues. It is not asked to confirm: a doorbell may be lost, and waiting has no limit.
RABBITMQ = CELERY_BROKER_URL.startswith(("amqp", "pyamqp"))
CELERY_TASK_DEFAULT_QUEUE_TYPE = CELERY_TASK_CREATE_MISSING_QUEUE_TYPE = "quorum" if RABBITMQ else "classic"
# A broker that hangs must not hold up whoever asks for a run.
CELERY_BROKER_TRANSPORT_OPTIONS = {} if RABBITMQ else {"socket_timeout": 3, "socket_connect_timeout": 3}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Threads: a slot only supervises a child process, and prefork pools can deadlock when a child is killed.
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    name: {"task": task, "schedule": each_s, "options": {"queue": "house", "expires": expires_s}}
    for name, task, each_s, expires_s in (
        ("sweep", "reproduce.tasks.sweep", 10.0, 30),
        ("schedules", "reproduce.tasks.look_at_schedules", 60.0, 60),
        ("submissions", "explorer.tasks.read_submissions", 60.0, 60),
        ("index", "explorer.tasks.fold_index", 3600.0, 3600),
        ("letters", "explorer.tasks.send_letters", 60.0, 60),
    )
}
LOOKUPS = lookups.from_environment(os.environ)
CELERY_BEAT_SCHEDULE |= LOOKUPS.schedule
RUN_DIR = VAR / "runs"
# What no recipe may see: keys and data of the site, and its engines' sockets, which no network fence stops.
HIDDEN_FROM_RUNS = [VAR, embedded.socket_dir(VAR), BASE_DIR / ".env"]
HIDDEN_FROM_RUNS += map(Path, env_list("HIDDEN_FROM_RUNS"))
LEASE_S = int(os.environ.get("LEASE_S", 30))  # a worker not heard of for so long has lost its run
RUN_MEMORY_GB = float(os.environ.get("RUN_MEMORY_GB", 0))  # 0: four fifths of the machine's memory
STOP_GRACE_S = float(os.environ.get("STOP_GRACE_S", 5))  # a stopping worker's runs may end within this
GPU_SECONDS_PER_DAY = int(os.environ.get("GPU_SECONDS_PER_DAY", 3600))  # a user's quota
RUNS_IN_FLIGHT = int(os.environ.get("RUNS_IN_FLIGHT", 5))  # waiting or running, a user
SHIPPED_RESULTS = BASE_DIR / "reproduce" / "results"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "INFO")},
}
