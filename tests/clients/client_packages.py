"""Enters the Python that has the clients of requirements.txt.

They come from PyPI into the build folder, once; without a network the test is skipped.
"""

import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
VENV = pathlib.Path(os.environ["SLUICE_BUILD_DIR"]) / "clients-venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = HERE / "requirements.txt"
SKIPPED = 77


def install():
    """Tests run beside each other: one installs, the others wait for it."""
    VENV.mkdir(parents=True, exist_ok=True)
    mark = VENV / "installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    with open(VENV / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and mark.read_text() == wanted:
            return
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run(
            [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            + ["--only-binary", ":all:", "-r", REQUIREMENTS],
            check=True,
            timeout=180,
        )
        mark.write_text(wanted)


def enter():
    """Starts this script again with that Python."""
    if "SLUICE_IN_VENV" in os.environ:
        sys.exit("a package is missing in requirements.txt")
    try:
        install()
    except (subprocess.SubprocessError, OSError) as error:
        print(f"skipped: the packages cannot be had: {error}")
        sys.exit(SKIPPED)
    os.execve(PYTHON, [PYTHON, "-B", *sys.argv], {**os.environ, "SLUICE_IN_VENV": "1"})
