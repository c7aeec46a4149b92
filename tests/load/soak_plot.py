# SPDX-License-Identifier: Apache-2.0
"""The samples of soak.py as an SVG: memory and descriptors over time."""

WIDTH, HEIGHT = 760, 190  # of one panel
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 28, 34
COLOURS = ("#1f5fa8", "#c2571a", "#3d8b40")


def nice_top(value):
    """A round number above it, for the end of an axis."""
    step = 1
    while step * 10 <= value:
        step *= 10
    return next(step * k for k in (1, 2, 3, 4, 5, 6, 8, 10, 12) if step * k >= value)


def panel(rows, column, scale, title, top_y):
    seconds = max(r[-1][0] for r in rows.values())
    top = nice_top(max(max(s[column] for s in samples) for samples in rows.values()) * scale * 1.05)
    x0, x1, y0, y1 = LEFT, WIDTH - RIGHT, top_y + HEIGHT - BOTTOM, top_y + TOP

    def at(sample):
        x = x0 + (x1 - x0) * sample[0] / seconds
        y = y0 - (y0 - y1) * sample[column] * scale / top
        return f"{x:.1f},{y:.1f}"

    out = [f'<text x="{x0}" y="{top_y + 16}" font-weight="bold">{title}</text>']
    for i in range(5):
        y, x = y0 - (y0 - y1) * i / 4, x0 + (x1 - x0) * i / 4
        out.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x1}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{top * i / 4:g}</text>')
        out.append(f'<text x="{x:.1f}" y="{y0 + 16}" text-anchor="middle">{seconds * i / 240:.1f} min</text>')
    for i, (name, samples) in enumerate(rows.items()):
        points = " ".join(map(at, samples))
        out.append(f'<polyline fill="none" stroke="{COLOURS[i]}" stroke-width="1.3" points="{points}"/>')
        out.append(f'<text x="{x1 - 140 * (len(rows) - i) + 20}" y="{top_y + 16}" fill="{COLOURS[i]}">{name}</text>')
    return out


def plot(rows):
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{2 * HEIGHT}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{2 * HEIGHT}" fill="white"/>',
        *panel(rows, 1, 1 / 1024, "resident memory, MiB", 0),
        *panel(rows, 2, 1, "open descriptors", HEIGHT),
        "</svg>",
    ]
    return "\n".join(out) + "\n"
