#!/usr/bin/env python3
"""Checks that files, functions and parameter lists stay small enough to be read.

    check_sizes.py [ROOT]

The parser knows C as clang-format leaves it: a function's braces stand in column 0.
"""

import os
import re

import tree

FILE_LINES = 450
HEADER_LINES = 150
FUNCTION_LINES = 60  # from the opening to the closing brace
PARAMETERS = 6

# Signatures that a library gives.
GIVEN = {("server/http.c", "handle")}

COMMENT_OR_STRING = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)
PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
NAME_AND_OPEN = re.compile(r"(\w+)\s*\(")
ATTRIBUTE = re.compile(r"__attribute__\s*\(\(.*?\)\)(?=\s*(?:__attribute__|[;{]|$))", re.DOTALL)


def blank(found):
    """Spaces in place of what was matched; lines stay where they are."""
    return re.sub(r"[^\n]", " ", found.group())


def closing(text, start, pair):
    """The index of the bracket that closes the one at `start`, or the end of the text."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] == pair[0]:
            depth += 1
        elif text[at] == pair[1]:
            depth -= 1
            if depth == 0:
                return at
    return len(text) - 1


def parameters(text):
    """How many parameters "(...)" holds; commas inside inner brackets do not count."""
    depth = count = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        count += char == "," and depth == 1
    return 0 if text[1:-1].strip() in ("", "void") else count + 1


def declarations(text):
    """(offset, text before ";" or "{", offset of "{" or None, offset of "}") of everything
    at the top level of a source file."""
    start = at = 0
    while at < len(text):
        if text[at] == "(":
            at = closing(text, at, "()")
        elif text[at] == ";":
            yield start, text[start:at], None, None
            start = at + 1
        elif text[at] == "{":
            end = closing(text, at, "{}")
            yield start, text[start:at], at, end
            at, start = end, end + 1
        at += 1


def check_functions(path, source):
    text = PREPROCESSOR.sub(blank, COMMENT_OR_STRING.sub(blank, source))
    for start, head, opening, end in declarations(text):
        head = ATTRIBUTE.sub(blank, head)
        found = NAME_AND_OPEN.search(head)
        if not found or "=" in head[: found.start()] or re.match(r"\s*typedef\b", head):
            continue
        line = text.count("\n", 0, start + found.start()) + 1
        at = found.end() - 1
        count = parameters(head[at : closing(head, at, "()") + 1])
        if count > PARAMETERS and (path, found[1]) not in GIVEN:
            yield f"{path}:{line}: {found[1]} has {count} parameters, at most {PARAMETERS}"
        if opening is not None:
            lines = text.count("\n", opening, end) + 1
            if lines > FUNCTION_LINES:
                yield f"{path}:{line}: {found[1]} has {lines} lines, at most {FUNCTION_LINES}"


def check(top, path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        source = file.read()
    lines = source.count("\n")
    limit = HEADER_LINES if path.endswith(".h") else FILE_LINES
    if lines > limit:
        yield f"{path}:{lines}: {lines} lines, at most {limit}"
    if path.endswith((".c", ".h")):
        yield from check_functions(path, source)


def main():
    top = tree.root()
    paths = tree.files(top, "*.c", "*.h", "*.py", "*.sh", "*.cmake", "*CMakeLists.txt")
    tree.finish("sizes", len(paths), [f for path in paths for f in check(top, path)])


main()
