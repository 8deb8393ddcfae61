#!/usr/bin/env python3
"""Shows that every check can fail: each is run on a small tree that is in order, and on
the same tree with one offence, which it must report by name."""

import json
import pathlib
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(__file__).resolve().parent
ROOT = TOOLS.parent.parent

GOOD = {
    "base/sum.h": "int sum(int a, int b);\n",
    "base/sum.c": '#include "base/sum.h"\n\nint sum(int a, int b)\n{\n    return a + b;\n}\n',
    "sampler/step.h": "int step(void);\n",
    "model/velocity.h": "int velocity(void);\n",
    "docs/page.md": "# A page\n\nSee [itself](page.md#a-page) and `base/sum.c`.\n",
    "tests/run": "#!/bin/sh\necho \"$1\"\n",
    ".clang-format": (ROOT / ".clang-format").read_text(),
    ".clang-tidy": (ROOT / ".clang-tidy").read_text(),
}
LONG_BODY = "int sum(int a, int b)\n{\n" + "    a += b;\n" * 60 + "    return a;\n}\n"

# (check, file, its offending text, what the check must say)
OFFENCES = [
    ("check_layers.py", "base/up.c", '#include "sampler/step.h"\n', "is not for base/"),
    ("check_layers.py", "sampler/up.c", '#include "model/bundle.h"\n', "no file below"),
    ("check_layers.py", "sampler/up.h", '#include "tests/run"\n', "is not for sampler/"),
    ("check_layers.py", "api/up.c", '#include "model/velocity.h"\n', "is not for api/"),
    ("check_layers.py", "api/flat.c", '#include "step.h"\n', "must name its folder"),
    ("check_layers.py", "server/job.c", "#include <uv.h>\n", "<uv.h> is only for"),
    ("check_layers.py", "sampler/json.c", "#include <jansson.h>\n", "<jansson.h> is only"),
    ("check_layers.py", "base/new.c", "#include <curl/curl.h>\n", "is in no table"),
    ("check_layers.py", "base/sum.c", "#include <stdio.h>\n", "the first include must be"),
    ("check_layers.py", "other/a.c", '#include "base/sum.h"\n', "is in no layer"),
    ("check_sizes.py", "base/sum.c", LONG_BODY, "sum has 63 lines"),
    ("check_sizes.py", "base/sum.c", "int x;\n" * 451, "451 lines, at most 450"),
    ("check_sizes.py", "base/sum.h", "int x;\n" * 151, "151 lines, at most 150"),
    (
        "check_sizes.py",
        "base/sum.h",
        "int many(int a, int (*b)(int, int), int c,\n         int d, int e, int f, int g);\n",
        "many has 7 parameters",
    ),
    ("check_text.py", "base/sum.c", "int x; \n", "trailing blank"),
    ("check_text.py", "base/sum.c", "\tint x;\n", "tab"),
    ("check_text.py", "base/sum.c", "int x;", "must end with one newline"),
    ("check_text.py", "base/sum.c", "/* T" + "ODO: more */\n", "open end"),
    ("check_text.py", "docs/page.md", "See /" + "home/me/page.\n", "path of one machine"),
    ("check_text.py", "docs/page.md", "[gone](gone.md)\n", "link to gone.md"),
    ("check_text.py", "docs/page.md", "[gone](#gone)\n", "link to #gone"),
    ("check_text.py", "docs/page.md", "`base/gone.c`\n", "`base/gone.c` is not there"),
    ("check_format", "base/sum.c", "int  x;\n", "code should be clang-formatted"),
    ("check_shell", "tests/run", "#!/bin/sh\necho $1\n", "SC2086"),
    (
        "check_cppcheck",
        "base/sum.c",
        "int sum(void)\n{\n    int a[2] = {0};\n    return a[2];\n}\n",
        "out of bounds",
    ),
    ("check_tidy", "base/sum.c", LONG_BODY, "readability-function-size"),
    (
        "check_tidy",
        "base/sum.c",
        "int sum(const int *a)\n{\n    return a == 0 ? *a : 1;\n}\n",
        "NullDereference",
    ),
]


def run(check, files):
    """The check's exit status and output on a tree of these files."""
    with tempfile.TemporaryDirectory() as folder:
        top = pathlib.Path(folder, "tree").resolve()
        build = top / "build"
        build.mkdir(parents=True)
        for name, text in files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
        source = str(top / "base" / "sum.c")
        command = {"directory": str(top), "command": f"cc -I{top} -c {source}", "file": source}
        (build / "compile_commands.json").write_text(json.dumps([command], indent=1) + "\n")
        arguments = [build, top] if check == "check_tidy" else [top]
        done = subprocess.run(
            [TOOLS / check, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )
        return done.returncode, done.stdout


def main():
    failures = 0
    cases = [(check, {}, None) for check in sorted({row[0] for row in OFFENCES})]
    cases += [(check, {name: text}, expected) for check, name, text, expected in OFFENCES]
    for check, offence, expected in cases:
        status, output = run(check, {**GOOD, **offence})
        fine = status == 0 if expected is None else status == 1 and expected in output
        if not fine:
            failures += 1
            print(f"{check}: {expected or 'no finding'} expected, exit {status}:\n{output}")
    print(f"{len(cases)} cases, {failures} failures")
    sys.exit(1 if failures else 0)


main()
