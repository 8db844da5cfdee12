"""A page of a set of papers in some order, without sorting the set: it is cut by bitmaps that are in order.

Newest first means year, month, then the order of adding; every order ends in it.
"""

from pyroaring import BitMap


def page(snapshot, bands, start, stop):
    """The ids from `start` to before `stop` of the bands one after the other, each newest first."""
    ids = []
    for band in bands:
        if stop <= 0:
            break
        if start < len(band):
            ids += _newest(snapshot, band, max(start, 0), min(stop, len(band)))
        start, stop = start - len(band), stop - len(band)
    return ids


def by_evidence(snapshot, found):
    """Bands of the most measured first, of these the ones with most claims."""
    rest = found
    for depth in reversed(snapshot.values_of("depth")):
        band = found & snapshot.facet("depth", depth)
        yield band
        rest = rest - band
    yield rest


def by_gain(snapshot, found):
    """Bands of the largest measured gain first; those without one last."""
    gained = sorted((gain, number) for number, gain in snapshot.gains.items() if number in found)[::-1]
    for _, number in gained:
        yield BitMap([number])
    yield found - BitMap([number for _, number in gained])


def _newest(snapshot, band, start, stop):
    ids = []
    for _, months in snapshot.months.items():
        if stop <= 0:
            break
        size = band.intersection_cardinality(snapshot.facet("year", months[0][:4]))
        if start < size:
            year = band & snapshot.facet("year", months[0][:4])
            ids += _newest_of_year(snapshot, year, months, max(start, 0), min(stop, size))
        start, stop = start - size, stop - size
    return ids


def _newest_of_year(snapshot, year, months, start, stop):
    ids = []
    for name in months:
        if stop <= 0:
            break
        month = year & snapshot.facet("month", name) if len(months) > 1 else year
        size = len(month)
        if start < size:
            first, last = max(start, 0), min(stop, size)
            ids += month[first:last]
        start, stop = start - size, stop - size
    return ids
