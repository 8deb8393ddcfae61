"""What the tests of deploy/ share: where it is, and how its judges are run."""

import os
import pathlib
import shutil
import subprocess

SOURCE = pathlib.Path(os.environ["SLUICE_SOURCE_DIR"])
DEPLOY = SOURCE / "deploy"
BINARY = os.environ["SLUICE_BINARY"]

# Debian keeps servers out of the path of those who are not root.
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def program(name):
    """The path of an installed program."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed (deploy/packages/test.txt)")
    return found


def run(*arguments, **options):
    """A program's (exit status, standard output and error together)."""
    done = subprocess.run(
        [program(arguments[0]), *map(str, arguments[1:])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
        **options,
    )
    return done.returncode, done.stdout
