# `make up` is the whole set-up and `make test` the other command. They need Python 3.11, make and a C library.
#   make up PORT=8001 HOST=0.0.0.0    another address        make up EXTRAS=    without torch: no recipe runs here
#   make up PYTHON=python3.12         another Python         make down          stop what `make up` started

PYTHON ?= python3
EXTRAS ?= worker
VENV ?= .venv
TESTERS ?= 2
export PORT ?= 8000
export HOST ?= 127.0.0.1

PY := $(VENV)/bin/python
COMMA := ,
# What is installed is recorded by name and by content, so nothing is installed twice.
KEY := $(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
INSTALLED := $(VENV)/installed-$(KEY)-$(or $(subst $(COMMA),-,$(EXTRAS)),plain)
DEVELOPED := $(VENV)/installed-$(KEY)-worker-dev
BENCHED := $(VENV)/installed-$(KEY)-worker-dev-bench

.PHONY: up down test lint bench chaos recipes-smoke

up: $(INSTALLED)
	@exec "$(PY)" -m config.up

down:
	@test ! -x "$(PY)" || "$(PY)" -m config.up down

test: lint
	"$(PY)" -m pytest -n $(TESTERS) --dist loadfile

lint: $(DEVELOPED)
	"$(PY)" -m ruff check .
	"$(PY)" -m ruff format --check .
	"$(PY)" manage.py check --fail-level WARNING
	DATABASE_URL=postgresql://db/spectrum BROKER_URL=redis://broker HOST=0.0.0.0 ALLOWED_HOSTS=example.org \
	SECRET_KEY="$$("$(PY)" -c 'import secrets; print(secrets.token_urlsafe(50))')" \
	"$(PY)" manage.py check --deploy --fail-level WARNING
	"$(PY)" -m reproduce.recipes check
	"$(PY)" manage.py load_corpus --check
	@echo "No migration is missing:"; SPECTRUM_VAR=$$(mktemp -d); export SPECTRUM_VAR; chmod 755 "$$SPECTRUM_VAR"; \
	trap '"$(PY)" -m config.embedded stop >/dev/null; rm -rf "$$SPECTRUM_VAR"' EXIT; \
	"$(PY)" -m config.embedded start >/dev/null && "$(PY)" manage.py makemigrations --check --dry-run

bench: $(BENCHED)
	@set -e; for script in $(filter-out %/throwaway.py %/idlers.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; "$(PY)" "$$script"; done

# Everything is killed at random, on each broker: `make test` has a short form. CHAOS=--allow-missing skips a broker
# that is not installed (Debian: redis-server, rabbitmq-server).
chaos: $(DEVELOPED)
	@failed=0; for broker in valkey redis rabbitmq; do "$(PY)" -m tests.chaos --broker $$broker $(CHAOS) || failed=1; \
	done; exit $$failed

# Every recipe in its small preset, as a worker would run it.
recipes-smoke: $(DEVELOPED)
	@set -e; for recipe in reproduce/recipes/*/recipe.toml; do slug=$$(basename $$(dirname $$recipe)); \
	echo "== $$slug"; "$(PY)" -m reproduce.recipes run $$slug --preset smoke --out var/smoke/$$slug; done

$(VENV)/installed-$(KEY)-%:
	@"$(PYTHON)" config/preflight.py $(if $(filter-out up,$(MAKECMDGOALS)),,port)
	@echo "Installing into $(VENV): once, for some minutes; torch is the large part"
	@"$(PY)" -c pass 2>/dev/null || "$(PYTHON)" -m venv --clear "$(VENV)"
	"$(PY)" -m pip install --disable-pip-version-check -c constraints.txt -e '.$(if $(filter-out plain,$*),[$(subst -,$(COMMA),$*)])'
	@touch "$@"
