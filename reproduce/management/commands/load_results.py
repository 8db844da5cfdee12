"""Loads the measurements that ship with Spectrum, so that the first page shows real numbers."""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from reproduce.evidence import load_shipped
from reproduce.recipes import bundle, spec


class Command(BaseCommand):
    help = "Load the bundles of reproduce/results; loading twice changes nothing."

    def handle(self, **_: object) -> None:
        loaded, faults = 0, []
        for path in sorted(settings.SHIPPED_RESULTS.glob("*.json")):
            try:
                loaded += load_shipped(path) is not None
            except (bundle.BundleError, spec.RecipeError) as error:
                faults.append(f"{path.name}: {error}")
        self.stdout.write(f"{loaded} new measured bundles loaded")
        if faults:
            raise CommandError("\n".join(faults))
