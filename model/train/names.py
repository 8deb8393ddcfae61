"""Names, keywords and groups of emoji drawings, from Unicode's files.

Debian has them: emoji-test.txt in unicode-data, the annotations of CLDR in
unicode-cldr-core. A drawing is found by the code points in its file name, whichever way
its font spells them: emoji_u1f468_1f3fb.svg, 1F468-1F3FB.svg, 1f468-1f3fb.svg.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

from .captions import STYLES

UNICODE = Path("/usr/share/unicode")
TEST = "emoji/emoji-test.txt"
ANNOTATIONS = ("cldr/common/annotations/en.xml", "cldr/common/annotationsDerived/en.xml")
PRESENTATION = "fe0f"  # fonts leave it out of file names, or not
LINE = re.compile(r"([0-9A-F ]+?)\s*;\s*\S+\s*# \S+ E[\d.]+ (.*)")
FILE_NAME = re.compile(r"(?:emoji_u)?([0-9a-f]+(?:[_-][0-9a-f]+)*)$", re.IGNORECASE)


def key_of(points: list[str]) -> str:
    return "_".join(p.lower().zfill(4) for p in points if p.lower() != PRESENTATION)


def read_names(path: Path) -> dict[str, dict]:
    """Code points -> name, group, subgroup."""
    names, heads = {}, {}
    for line in path.read_text(encoding="utf-8").splitlines():
        head = re.match(r"# (group|subgroup): (.*)", line)
        if head:
            heads[head[1]] = head[2]
            continue
        found = LINE.match(line)
        if found:
            names.setdefault(key_of(found[1].split()), {"name": found[2], **heads})
    return names


def read_keywords(paths) -> dict[str, list[str]]:
    keywords = {}
    for path in paths:
        for node in ElementTree.parse(path).iter("annotation"):
            if node.get("type") is None:
                points = [f"{ord(char):04x}" for char in node.get("cp")]
                keywords[key_of(points)] = [word.strip() for word in node.text.split("|")]
    return keywords


def entries(folder: Path, unicode: Path = UNICODE) -> list[dict]:
    """An entry for each drawing in the folders of STYLES whose code points have a name."""
    for path in (unicode / TEST, *(unicode / name for name in ANNOTATIONS)):
        if not path.is_file():
            raise SystemExit(
                f"{path} is not there: install Debian's unicode-data and unicode-cldr-core,"
                " or give --unicode"
            )
    names = read_names(unicode / TEST)
    keywords = read_keywords(unicode / name for name in ANNOTATIONS)
    found = []
    for style in STYLES:
        for path in sorted((folder / style).glob("*.svg")):
            match = FILE_NAME.match(path.stem)
            key = key_of(re.split("[_-]", match[1])) if match else ""
            if key in names:
                found.append({
                    "file": f"{style}/{path.name}", "style": style, **names[key],
                    "keywords": keywords.get(key, []),
                })
    return found
