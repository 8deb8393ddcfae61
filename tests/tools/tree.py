"""What the checks share: the list of files, and how findings are told."""

import pathlib
import subprocess
import sys

TOOLS = pathlib.Path(__file__).resolve().parent


def root():
    """The tree to check: the first argument, or the one this script stands in."""
    return pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else TOOLS.parent.parent).resolve()


def files(top, *patterns):
    """The project's files below `top` as paths relative to it."""
    out = subprocess.run(
        [TOOLS / "files", top, *patterns], check=True, capture_output=True, text=True
    )
    return out.stdout.splitlines()


def finish(what, count, findings):
    """Prints the findings and ends the program: 0 only when there are none."""
    for finding in findings:
        print(finding)
    if count == 0:
        findings = ["nothing was checked"]
        print(f"{what}: no files found")
    print(f"{what}: {count} files, {len(findings)} findings")
    sys.exit(1 if findings else 0)
