"""Baseline: tantivy, embedded, facets by terms aggregations over fast fields. Its wheel is an extra."""

import tantivy

from searching.baselines import FACETS, chosen, gathered, sets, total
from searching.queries import PAGE_SIZE

TEXTS = ["title", "authors", "abstract"]
AGGREGATIONS = {facet: {"terms": {"field": facet, "size": 1000, "segment_size": 1000}} for facet in FACETS}
MUST = tantivy.Occur.Must


class Tantivy:
    name = "tantivy"

    def __init__(self, source, folder):
        self.source, self.folder = source, folder / "tantivy"
        self.folder.mkdir()
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("title", stored=True, tokenizer_name="en_stem")
        builder.add_text_field("authors", stored=True, tokenizer_name="default")
        builder.add_text_field("abstract", tokenizer_name="en_stem")
        for facet in FACETS:
            builder.add_text_field(facet, fast=True, tokenizer_name="raw", index_option="basic")
        for number in ("id", "published", "newest", "measured", "by_title"):
            builder.add_unsigned_field(
                number, stored=number == "id", indexed=number == "published", fast=True
            )
        self.schema = builder.build()
        self.index = tantivy.Index(self.schema, path=str(self.folder))

    def build(self):
        writer = self.index.writer(heap_size=512_000_000, num_threads=2)
        for key, title, authors, abstract, year, month, _venue, claimed, measured, tags in self.source.rows():
            document = tantivy.Document(title=title, authors=authors, abstract=abstract)
            for tag in tags:
                facet, _, value = self.source.names[tag].partition(":")
                document.add_text(facet, value)
            newest = (year * 13 + month) << 32 | key
            numbers = {"id": key, "published": year, "newest": newest}
            numbers["measured"] = (
                measured * 100 + claimed
            ) << 48 | newest  # year and month fit in 48 - 32 bits
            numbers["by_title"] = (1 << 63) - 1 - int.from_bytes(title.encode()[:7].ljust(7, b"\0"))
            for name, number in numbers.items():
                document.add_unsigned(name, number)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self.index.reload()
        self.searcher = self.index.searcher()

    def size(self):
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def close(self):
        """Nothing is open that its folder's end would trouble."""

    def answer(self, query):
        by_set = {facet: self._counts(each) for facet, each in sets(query)}
        field = {"relevance": None if query.text else "newest", "title": "by_title"}.get(
            query.order, query.order
        )
        found = self.searcher.search(
            self._query(query),
            PAGE_SIZE,
            count=False,
            order_by_field=field,
            offset=PAGE_SIZE * (query.page - 1),
        )
        page = [self.searcher.doc(address)["id"][0] for _, address in found.hits]
        return total(by_set[None]), page, gathered(by_set)

    def _counts(self, query):
        found = self.searcher.aggregate(self._query(query), AGGREGATIONS)
        return {
            f"{facet}:{bucket['key']}": bucket["doc_count"]
            for facet in FACETS
            for bucket in found[facet]["buckets"]
        }

    def _query(self, query):
        parts = []
        if text := self._text(query):
            parts.append(self.index.parse_query(text, TEXTS, {"title": 4.0}, conjunction_by_default=True))
        if query.prefix:
            either = [tantivy.Query.regex_query(self.schema, name, f"{query.prefix}.*") for name in TEXTS]
            parts.append(tantivy.Query.boolean_query([(tantivy.Occur.Should, each) for each in either]))
        for facet, wanted in chosen(query).items():
            if facet == "year":
                parts.append(
                    tantivy.Query.range_query(self.schema, "published", tantivy.FieldType.Unsigned, *wanted)
                )
            else:
                parts.append(tantivy.Query.term_set_query(self.schema, facet, list(wanted)))
        if not parts:
            return tantivy.Query.all_query()
        return parts[0] if len(parts) == 1 else tantivy.Query.boolean_query([(MUST, part) for part in parts])

    def _text(self, query):
        parts = list(query.words)
        parts += [f'"{query.phrase}"'] if query.phrase else []
        parts += [f"authors:{query.author.lower()}"] if query.author else []
        return " ".join(parts)
