#!/usr/bin/env python3
"""Checks what every text file owes its readers: blanks, line ends, no open ends in code,
no paths of one machine, and documents whose links and file names are true.

    check_text.py [ROOT]
"""

import fnmatch
import os
import re

import tree

# Not written by hand, or with a form of its own.
EXEMPT = [
    "LICENSE",
    "model/house/*",
    "tests/api/cases/*",
    "tests/golden/*/model/*",
    "tests/fuzz/*/*",
]
BINARY = (".safetensors", ".png", ".bin", ".npy", ".npz", ".gz", ".ico", ".woff2")
CODE = (".c", ".h", ".py", ".sh", ".cmake", ".js", ".css", ".html", ".yaml", ".yml", ".txt")
TABS = ("Makefile", ".mk")

# An open end in code needs the number of the issue that closes it: "(#12)".
OPEN_END = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b(?!\s*\(#\d+\))")
MACHINE_PATH = re.compile(r"(?:^|[\s\"'`=(:])(/(?:home|root|Users|work)/[\w.-]+)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)")
FENCE = re.compile(r"^\s*(?:```|~~~)")
HEADING = re.compile(r"^#+\s+(.*?)\s*#*$")
# A file of the tree that is named in running text; with a wildcard it is no name.
FILE_NAME = re.compile(
    r"`((?:api|base|cmake|deploy|docs|model|sampler|server|tests)/[\w./-]+)`"
)


def is_code(path):
    return path.endswith(CODE) or "." not in os.path.basename(path)


def check_line(path, line):
    if line != line.rstrip():
        yield "trailing blank"
    if "\t" in line and not path.endswith(TABS):
        yield "tab"
    if is_code(path) and OPEN_END.search(line):
        yield "open end without the number of its issue, as in (#12)"
    found = MACHINE_PATH.search(line)
    if found:
        yield f"{found[1]} is a path of one machine"


def anchors(text):
    """The anchors of a document's headings, as GitHub makes them."""
    titles = [found[1] for found in map(HEADING.match, text.splitlines()) if found]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def link_finding(top, path, text, target):
    name, _, anchor = target.partition("#")
    if re.match(r"[a-z]+:", target):
        return None
    if name:
        full = os.path.join(top, os.path.dirname(path), name)
        if not os.path.exists(full):
            return f"link to {name}, which is not there"
        if anchor and full.endswith(".md"):
            with open(full, encoding="utf-8") as file:
                text = file.read()
    if anchor and anchor not in anchors(text):
        return f"link to #{anchor}, which is no heading there"
    return None


def check_document(top, path, text):
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
        if fenced:
            continue
        for target in LINK.findall(line):
            finding = link_finding(top, path, text, target)
            if finding:
                yield f"{path}:{number}: {finding}"
        for name in FILE_NAME.findall(line):
            if not os.path.exists(os.path.join(top, name)):
                yield f"{path}:{number}: `{name}` is not there"


def check(top, path):
    with open(os.path.join(top, path), "rb") as file:
        data = file.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        yield f"{path}: not UTF-8 ({error.reason} at byte {error.start})"
        return
    if data and not data.endswith(b"\n") or data.endswith(b"\n\n"):
        yield f"{path}: must end with one newline"
    for number, line in enumerate(text.split("\n"), 1):
        for finding in check_line(path, line):
            yield f"{path}:{number}: {finding}"
    if path.endswith(".md"):
        yield from check_document(top, path, text)


def main():
    top = tree.root()
    paths = [
        path
        for path in tree.files(top)
        if not path.endswith(BINARY)
        and not any(fnmatch.fnmatchcase(path, pattern) for pattern in EXEMPT)
    ]
    tree.finish("text", len(paths), [f for path in paths for f in check(top, path)])


main()
