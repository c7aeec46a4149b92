# SPDX-License-Identifier: Apache-2.0
"""The table: medians of all samples, and the ratios of what was measured in the same round."""

import statistics

# What is promised: load, figure, peer, bound, and whether more is better.
TARGETS = (
    ("50 connections", "per_s", "nginx, 1 hop", 1.0, True),
    ("500 connections", "per_s", "nginx, 1 hop", 1.2, True),
    ("50 connections", "per_s", "nginx, 2 hops", 2.0, True),
    ("1 connections", "per_s", "nginx, 2 hops", 1.0, True),
    ("1 connections", "p50_us", "nginx, 2 hops", 1.0, False),
    ("50 connections", "p99_us", "nginx, 2 hops", 1.0, False),
    ("50 connections", "per_s", "nginx + ssh -R", 3.5, True),
    ("new connections", "per_s", "nginx, 1 hop", 1.0, True),
    ("new connections", "cpu_us_sum", "nginx, 1 hop", 1.0, False),
    ("50 connections", "cpu_us_sum", "nginx, 2 hops", 0.5, False),
    ("memory", "connection_kb", "nginx, 1 hop", 1.0, False),
)
LOAD_IS_FULL = 0.95  # of the core of load and backend: the rate is theirs, and says little of a peer
FIGURES = {
    "per_s": "requests/s",
    "p50_us": "p50 latency",
    "p99_us": "p99 latency",
    "cpu_us_sum": "CPU per request",
    "connection_kb": "memory per idle connection",
}


def column(samples, peer, what, figure):
    return [s[figure] for s in samples if s["peer"] == peer and s["what"] == what and figure in s]


def spread(values, digits=0):
    """median [min..max]"""
    if not values:
        return "-"
    shown = [f"{v:.{digits}f}" for v in (statistics.median(values), min(values), max(values))]
    return shown[0] if len(values) == 1 else f"{shown[0]} [{shown[1]}..{shown[2]}]"


def percent(shares):
    return f"{statistics.median(shares) * 100:.0f} %"


def lines_of(rows):
    """A Markdown table, its columns aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows = [rows[0], ["-" * w for w in widths], *rows[1:]]
    return ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |" for row in rows]


def ordered(samples, key):
    return list(dict.fromkeys(s[key] for s in samples))


def speed(samples):
    rows = [["load", "peer", "per s", "p50 us", "p99 us", "CPU us/request", "by process",
             "busy: peer", "backend", "load"]]
    for what in ordered([s for s in samples if "per_s" in s], "what"):
        for peer in ordered(samples, "peer"):
            mine = [s for s in samples if s["peer"] == peer and s["what"] == what]
            if not mine:
                continue
            split = (
                f"{name} {statistics.median(s['cpu_us'][name] for s in mine):.1f}"
                for name in mine[0]["cpu_us"]
            )
            busy = (
                percent(s[key] for s in mine) for key in ("peer_busy", "backend_busy", "load_busy")
            )
            cells = [spread(column(mine, peer, what, f)) for f in ("per_s", "p50_us", "p99_us")]
            cells.append(spread(column(mine, peer, what, "cpu_us_sum"), 1))
            rows.append([what, peer, *cells, ", ".join(split), *busy])
    return lines_of(rows)


def memory(samples):
    rows = [["peer", "RSS idle, kB", "by process", "after load", "per idle client connection"]]
    for peer in ordered([s for s in samples if s["what"] == "memory"], "peer"):
        split = column(samples, peer, "memory", "by_process")[0]
        rows.append(
            [
                peer,
                spread(column(samples, peer, "memory", "rss_kb")),
                ", ".join(f"{name} {kb}" for name, kb in split.items()),
                spread(column(samples, peer, "after load", "rss_kb")),
                spread(column(samples, peer, "memory", "connection_kb"), 1),
            ]
        )
    return lines_of(rows)


def by_load(samples, own, what, figure):
    """Whether a rate is that of the load generator."""
    busy = zip(column(samples, own, what, "load_busy"), column(samples, own, what, "backend_busy"))
    shares = [load + backend for load, backend in busy]
    return figure == "per_s" and bool(shares) and statistics.median(shares) > LOAD_IS_FULL


def targets(samples):
    """Of each of ours, in the ratio to the peer's sample of the same round."""
    rows = [["what", "peer", "target", "ratio", "peer's", "ours", ""]]
    mine = [p for p in ordered(samples, "peer") if p.startswith("relay")]
    for what, figure, peer, bound, more in TARGETS:
        theirs = column(samples, peer, what, figure)
        for own in mine:
            ours = column(samples, own, what, figure)
            if not theirs or len(ours) != len(theirs):
                continue
            ratios = [a / b for a, b in zip(ours, theirs)]
            middle = statistics.median(ratios)
            reached = middle >= bound if more else middle <= bound
            verdict = "reached" if reached else "NOT REACHED"
            if by_load(samples, own, what, figure):
                verdict = "the load's own limit"
            rows.append(
                [
                    f"{FIGURES[figure]}, {what}" + own.removeprefix("relay + agent"),
                    peer,
                    f"{'>=' if more else '<='} {bound}",
                    spread(ratios, 2),
                    f"{statistics.median(theirs):.1f}",
                    f"{statistics.median(ours):.1f}",
                    verdict,
                ]
            )
    return lines_of(rows)


def show(samples):
    for title, make in (("Targets", targets), ("Speed", speed), ("Memory", memory)):
        print(f"\n### {title}\n")
        print("\n".join(make(samples)))
