"""Row: one figure of a suite. The ratio says how many times better frugal is than its peer."""
import dataclasses

FIELDS = ["suite", "case", "metric", "unit", "frugal", "peer", "peer_name", "ratio", "limit"]


@dataclasses.dataclass
class Row:
    suite: str
    case: str
    metric: str
    unit: str
    frugal: float
    peer: float | None = None
    peer_name: str | None = None
    limit: float | None = None  # the least ratio
    more_is_better: bool = True

    @property
    def ratio(self):
        if not self.peer or not self.frugal:
            return None
        return self.frugal / self.peer if self.more_is_better else self.peer / self.frugal

    def missed(self):
        return self.limit is not None and self.ratio is not None and self.ratio < self.limit

    def as_dict(self):
        return {name: getattr(self, name) for name in FIELDS}


def line(row):
    text = f"{row.suite:9} {row.case:34} {row.metric:22} {row.frugal:10.4g} {row.unit:8}"
    if row.peer is not None:
        text += f" | {row.peer_name} {row.peer:.4g} | {row.ratio:.2f}x"
    if row.limit is not None and row.ratio is not None:
        text += f" (limit {row.limit:.2f}{', MISSED' if row.missed() else ''})"
    return text


def interleave(rounds, *sides):
    """Calls the sides in turn, `rounds` times; the results of each side, in order."""
    results = [[] for _ in sides]
    for _ in range(rounds):
        for side, mine in zip(sides, results):
            mine.append(side())
    return results
