"""The baselines beside each other, and whether they agree: an engine that counts otherwise is no baseline."""

from collections import Counter, defaultdict

from searching.queries import KINDS
from searching.tables import figures, table


def compare(done):
    """done: [(name, build seconds, bytes, [(query, ms, answer)])]."""
    if not done:
        return
    rows = []
    for name, built, size, taken in done:
        late = sum(answer is None for *_, answer in taken)
        rows.append(
            [name, len(taken), figures(ms for _, ms, _ in taken), late, f"{built:.1f}", f"{size / 2**20:.0f}"]
        )
    table(
        ["baseline, without HTTP", "n", "ms, p50 / p95 / p99", "over the limit", "built in s", "MB"],
        rows,
    )
    groups = [defaultdict(list) for _ in done]
    for group, (*_, taken) in zip(groups, done, strict=True):
        for query, ms, _ in taken:
            group[query.kind].append(ms)
    kinds = [kind for kind in KINDS if any(kind in group for group in groups)]
    table(
        ["ms, p50 / p95 / p99", *(name for name, *_ in done)],
        [[kind, *(figures(group[kind]) for group in groups)] for kind in kinds],
    )
    agree(done)


def agree(done):
    """How often they count alike. Filters must; words need not, since stemmers and tokenizers differ."""
    first = {query.path: answer for query, _, answer in done[0][3] if answer}
    for name, *_, taken in done[1:]:
        pairs = [
            (query, answer, first[query.path]) for query, _, answer in taken if answer and query.path in first
        ]
        filters = [(one[0], one[2]) == (other[0], other[2]) for query, one, other in pairs if not query.text]
        words = [query.kind for query, *_ in pairs if query.text]
        apart = Counter(query.kind for query, one, other in pairs if query.text and one[0] != other[0])
        said = ", ".join(f"{kind} {count}" for kind, count in apart.most_common())
        print(
            f"{name} and {done[0][0]}: total and facets alike in {sum(filters)} of {len(filters)} queries "
            f"without words; another total in {apart.total()} of {len(words)} with words: {said or 'none'}."
        )
