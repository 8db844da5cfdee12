"""RIS, CSL-JSON and lists of identifiers, alone and mixed: read, recognised, and every reference accounted for."""

import json

import pytest

from papers import corpus_files, csl, intake, ris
from tests.making import bib_entry, make_facts

CORPUS = corpus_files.read()
SLUGS = {technique.slug for technique in CORPUS.techniques}


@pytest.mark.parametrize(("write", "number"), [(ris.write, 1), (csl.write, 2)], ids=["RIS", "CSL-JSON"])
def test_the_whole_corpus_survives_export_import_and_export(write, number):
    written = "".join(write(CORPUS.papers))
    readings = intake.read(written, SLUGS)
    assert len(readings) == len(CORPUS.papers)
    assert [each.faults for each in readings if each.faults] == []
    assert "".join(write(each.facts for each in readings)) == written
