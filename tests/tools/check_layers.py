#!/usr/bin/env python3
"""Checks every #include against the layers: arrows point down only (ARCHITECTURE.md).

    check_layers.py [ROOT]

The tables are the rule; patterns are those of fnmatch, where * also crosses folders.
"""

import fnmatch
import os
import re

import tree

# Which of the project's headers a file may include: the first matching row counts.
FOLDERS = [
    ("base/*", ["base/*"]),
    ("model/kernels/*", ["base/*", "model/kernels/*"]),
    ("model/*", ["base/*", "model/*"]),
    ("sampler/*", ["base/*", "sampler/*", "model/velocity.h", "model/scheduler_config.h"]),
    ("api/*", ["base/*", "sampler/*", "api/*"]),
    (
        "server/*",
        [
            "base/*",
            "sampler/*",
            "api/*",
            "server/*",
            # The public headers of model; the rest of it is private to its folder.
            "model/autoencoder.h",
            "model/bundle.h",
            "model/kernels/peak.h",
            "model/kernels/trial.h",
            "model/pixels.h",
            "model/run.h",
            "model/scheduler_config.h",
            "model/tally.h",
            "model/text_encoder.h",
            "model/tokenizer.h",
            "model/velocity.h",
        ],
    ),
    # A unit test stands where its layer stands; the helpers of tests/ are open to it.
    ("tests/unit/base/*", ["tests/*", "base/*"]),
    ("tests/unit/kernels/*", ["tests/*", "base/*", "model/kernels/*"]),
    ("tests/unit/model/*", ["tests/*", "base/*", "model/*"]),
    (
        "tests/unit/sampler/*",
        ["tests/*", "base/*", "sampler/*", "model/run.h", "model/velocity.h",
         "model/scheduler_config.h"],
    ),
    ("tests/unit/api/*", ["tests/*", "base/*", "sampler/*", "api/*",
                          "model/scheduler_config.h"]),
    ("tests/*", ["*"]),
]

# Which files may include a library's header: the first matching row counts. A header that
# stands neither here nor in SYSTEM is refused, so that a new dependency is a decision.
LIBRARIES = {
    "cblas.h": ["model/kernels/product_openblas.c"],
    "cpuid.h": ["model/kernels/kernels.c"],
    "immintrin.h": [
        "model/kernels/*_avx2.c",
        "model/kernels/*_avx512*.c",
        "model/kernels/*_amx*.c",
    ],
    "jansson.h": [
        "model/safetensors.c",
        "model/weight_files.c",
        "model/config*",
        "model/bundle*.c",
        "model/requirement.c",
        "model/tokenizer.c",
        "model/vocabulary.c",
        "model/byte_pairs.c",
        "api/*",
    ],
    "pcre2.h": ["model/pre_tokenizer.c"],
    "utf8proc.h": ["model/tokenizer.c", "model/pre_tokenizer.c"],
    "png.h": ["api/png_image.c", "api/png_read.c"],
    "zlib.h": ["api/png_image.c"],
    "microhttpd.h": ["server/http*"],
    "uv.h": ["server/engine*"],
    "sodium.h": ["base/digest.c", "base/random.c"],
    "sodium/*": ["base/digest.c", "base/random.c"],
    # Linux only.
    "sys/epoll.h": ["server/*"],
    "sys/eventfd.h": ["server/*"],
    "sys/prctl.h": ["server/*"],
    "sys/random.h": ["base/*", "server/*"],
}
TESTS_MAY_USE = {"jansson.h", "png.h", "zlib.h", "cblas.h", "sys/epoll.h", "sys/random.h",
                 "sys/timerfd.h"}

# C17 and POSIX.1-2008: open to every layer.
SYSTEM = set(
    """
    assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h
    math.h setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h
    stdio.h stdlib.h stdnoreturn.h string.h tgmath.h threads.h time.h uchar.h wchar.h
    wctype.h arpa/inet.h dirent.h dlfcn.h fcntl.h fnmatch.h ftw.h getopt.h glob.h
    net/if.h netdb.h netinet/in.h netinet/tcp.h poll.h pthread.h regex.h sched.h
    semaphore.h spawn.h strings.h sys/ioctl.h sys/mman.h sys/resource.h sys/select.h
    sys/socket.h sys/stat.h sys/statvfs.h sys/time.h sys/times.h sys/types.h sys/uio.h
    sys/un.h sys/utsname.h sys/wait.h syslog.h termios.h unistd.h
    """.split()
)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]*)"|<([^>]*)>|(\S.*))')


def matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def own_header_finding(top, path, header):
    """Findings of one #include "header"."""
    if "/" not in header:
        return f'"{header}" must name its folder'
    if header.startswith((".", "/")) or not os.path.isfile(os.path.join(top, header)):
        return f'"{header}" is no file below the root'
    allowed = next((row[1] for row in FOLDERS if fnmatch.fnmatchcase(path, row[0])), None)
    if allowed is None:
        return f'"{header}": {path} is in no layer of the table'
    if not matches(header, allowed):
        return f'"{header}" is not for {os.path.dirname(path)}/'
    return None


def library_finding(path, header):
    """Findings of one #include <header>."""
    if header in SYSTEM or path.startswith("tests/") and header in TESTS_MAY_USE:
        return None
    users = next((row[1] for row in LIBRARIES.items() if fnmatch.fnmatchcase(header, row[0])),
                 None)
    if users is None:
        return f"<{header}> is in no table of {os.path.basename(__file__)}"
    if not matches(path, users):
        return f"<{header}> is only for {', '.join(users)}"
    return None


def check(top, path):
    findings = []
    quoted = []
    with open(os.path.join(top, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            own, library, other = found.groups()
            if other is not None:
                finding = "an include must be written out"
            elif own is not None:
                finding = own_header_finding(top, path, own)
                quoted.append(own)
            else:
                finding = library_finding(path, library)
                quoted.append(f"<{library}>")
            if finding:
                findings.append(f"{path}:{number}: {finding}")
    # A source whose own header comes first proves that the header stands alone.
    own = path[:-2] + ".h"
    if path.endswith(".c") and os.path.isfile(os.path.join(top, own)):
        if not quoted or quoted[0] != own:
            findings.append(f'{path}:1: the first include must be "{own}"')
    return findings


def main():
    top = tree.root()
    paths = tree.files(top, "*.c", "*.h")
    tree.finish("layers", len(paths), [f for path in paths for f in check(top, path)])


main()
