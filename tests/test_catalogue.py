"""A paper without arXiv id and DOI is named by its key, and found like any other."""

from dataclasses import replace

from explorer import facets, freshness
from reproduce import catalogue
from tests.making import make_paper


def test_a_recipe_may_name_its_paper_by_the_papers_key(db, monkeypatch):
    named, other = make_paper(), make_paper()
    recipe = replace(catalogue.recipes()[0], paper=f"key:{named.key}")
    monkeypatch.setattr(catalogue, "recipes", lambda: (recipe,))
    assert catalogue.paper_of(recipe) == named
    assert catalogue.papers() == {recipe.slug: named}
    assert (catalogue.recipes_of(named), catalogue.recipes_of(other)) == ([recipe], [])
    assert set(facets.having(freshness.current(), "evidence", "recipe")) == {named.pk}
