"""Where a run's numbers come from, as rows to read: what its bundle recorded, and what this site knows of it.

A bundle's environment is shown as it is, whatever it holds: older ones lack keys, newer ones have more.
"""

from explorer.templatetags.figures import plain

ORDER = ("identity", "code", "host", "accelerator", "numerics", "data", "measurement")


def provenance(run):
    """[(group, [(name, value)])]: this site's own columns first, then every group of the bundle."""
    recorded = run.environment if isinstance(run.environment, dict) else {"environment": run.environment}
    names = sorted(recorded, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    groups = [(worded(name), list(rows(recorded[name]))) for name in names if recorded[name]]
    return [("this run", site_rows(run)), *groups]


def site_rows(run):
    """What the row says of a run; the right to write to it, its lease, is nobody's business."""
    told = {
        "run": run.pk,
        "recipe": f"{run.recipe}, version {run.recipe_version}",
        "recipe digest": run.recipe_digest,
        "preset": run.preset,
        "origin": run.get_origin_display(),
        "outcome": run.get_failure_display() if run.failure else run.get_status_display().lower(),
        "attempt": run.attempt,
        "workers lost": run.lost,
        "queue": run.get_device_display(),
        "GPUs asked for": run.gpus if run.device == "cuda" else 0,
        "labels asked for": run.labels,
        "priority": run.priority,
        "worker": run.worker.name if run.worker else None,
        "slot": run.slot,
        "device": run.device_name,
        "asked for": moment(run.queued),
        "started": moment(run.started),
        "finished": moment(run.finished),
        "bundle sha256": run.bundle_sha256,
    }
    return [row for name, value in told.items() if value not in (None, "", []) for row in rows(value, name)]


def cost(run):
    """[(name, value)] of what a run used."""
    told = [("GPU-seconds", plain(run.gpu_seconds))]
    if run.energy_j is not None:
        told.append(("Energy", f"{plain(run.energy_j)} J"))
        if run.gpu_seconds:
            told.append(("Energy per GPU-second", f"{plain(run.energy_j / run.gpu_seconds)} J"))
    return told


def rows(value, name=""):
    """Any JSON value as (name, text) pairs: a dictionary's keys become part of the names.

    The database keeps no order of keys: plain values come first, then what is nested, by name.
    """
    if isinstance(value, dict) and value:
        for key, inner in sorted(value.items(), key=lambda pair: (isinstance(pair[1], dict), pair[0])):
            yield from rows(inner, f"{name} · {worded(key)}" if name else worded(key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for number, inner in enumerate(value, 1):
            yield from rows(inner, f"{name} {number}".strip())
    else:
        yield name or "value", worded_value(value)


def worded_value(value):
    if value is None or value in ("", [], {}):
        return "not recorded" if value in (None, "") else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(worded_value(inner) for inner in value)
    return plain(value) if isinstance(value, float) else str(value)


def worded(key):
    """A key in words; the name of an environment variable stays as it is."""
    return key.replace("_", " ") if key == key.lower() else key


def moment(at):
    return at and f"{at:%Y-%m-%d %H:%M:%S} UTC"
