#!/usr/bin/env python3
"""Makes an animated SVG of a terminal session, for docs/images/demo.svg. It needs pyte (pip install pyte).

    script -q -c 'stty cols 90 rows 24; jmpub demo --for 30s' --log-out out --log-timing times
    scripts/recording.py out times >docs/images/demo.svg
"""

import html
import re
import sys
import unicodedata

import pyte

COLUMNS, ROWS = 90, 24
EVERY = 2  # Seconds between two pictures; each is shown for SHOWN seconds, the last one for LAST.
SHOWN, LAST = 0.7, 5
WIDTH, HEIGHT = 7.8, 17  # Of a character.
COLOURS = {"default": "#d7dde3", "green": "#6cc38d", "red": "#ef8a7a", "brown": "#e0bd6a", "cyan": "#76c7d4", "blue": "#7fb0e6",
           "magenta": "#cf9be0", "black": "#6b7885", "white": "#ffffff"}


def colour(name):
    return "#" + name if re.fullmatch("[0-9a-f]{6}", name) else COLOURS.get(name.removeprefix("bright"), COLOURS["default"])


def narrow(char):
    return unicodedata.east_asian_width(char[0]) not in "WF"


def picture(screen):
    """One line of SVG text for each line of the screen, in stretches of one colour."""
    lines = []
    for y in range(ROWS):
        row = screen.buffer[y]
        stretches = []
        for x in range(COLUMNS):
            char = row[x]
            if char.data == "":  # The second half of a wide character.
                continue
            look = (colour(char.bg if char.reverse else char.fg), char.bold)
            if stretches and stretches[-1][1] == look and narrow(char.data) and narrow(stretches[-1][2][-1]):
                stretches[-1][2] += char.data
            elif char.data != " ":
                stretches.append([x, look, char.data])
            elif stretches and stretches[-1][1] == look:
                stretches[-1][2] += " "
        for x, (fill, bold), text in stretches:
            if text.strip():
                style = ' font-weight="bold"' if bold else ""
                lines.append(f'<text x="{x * WIDTH + 12:.1f}" y="{y * HEIGHT + 24}" fill="{fill}"{style}>{html.escape(text.rstrip())}</text>')
    return "\n".join(lines)


def main():
    raw = open(sys.argv[1], "rb").read()
    raw = raw[raw.index(b"\n") + 1:]  # What `script` itself says at the start.
    # Of what a terminal is asked or told about itself, pyte does not know everything.
    unknown = re.compile(rb"\x1b\[[<>=?][0-9;]*[a-zA-Z]|\x1b\[[0-9;]*\$[a-z]|\x1bP.*?\x1b\\|\x1b\][^\x07\x1b]*(\x07|\x1b\\)")
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    pictures, now, due, at = [], 0.0, EVERY, 0
    for line in open(sys.argv[2]):
        pause, size = line.split()[-2:]
        now += float(pause)
        if now >= due and (shot := picture(screen)) and (not pictures or shot != pictures[-1]):
            pictures.append(shot)
            due = now + EVERY
        stream.feed(unknown.sub(b"", raw[at:at + int(size)]))
        at += int(size)
    pictures.append(picture(screen))

    whole = SHOWN * (len(pictures) - 1) + LAST
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * WIDTH + 24:.0f} {ROWS * HEIGHT + 24}" role="img" '
          'aria-label="A terminal with jmpub demo">')
    print("<style>text{font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}g{visibility:hidden;"
          f"animation-duration:{whole:.1f}s;animation-iteration-count:infinite;animation-timing-function:steps(1)}}")
    for i in range(len(pictures)):
        begin = SHOWN * i / whole * 100
        end = SHOWN * (i + 1) / whole * 100 if i + 1 < len(pictures) else 100
        first = "" if i == 0 else "0%{visibility:hidden}"
        print(f"@keyframes k{i}{{{first}{begin:.2f}%{{visibility:visible}}{end:.2f}%{{visibility:{'hidden' if end < 100 else 'visible'}}}}}"
              f"#p{i}{{animation-name:k{i}}}")
    print('</style><rect width="100%" height="100%" rx="8" fill="#10161c"/>')
    for i, shot in enumerate(pictures):
        print(f'<g id="p{i}">\n{shot}\n</g>')
    print("</svg>")


main()
