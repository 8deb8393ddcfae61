"""Folders that are no model: the server says which file and what is wrong, exits with 1,
and does so at once."""

import json
import os
import shutil
import socket
import struct
import tempfile
import time
import unittest
from pathlib import Path

from sluice_server import SLOW, Server, run_sluice, tiny

SECONDS = 15 if SLOW else 1
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
ENCODER = "text_encoder/model.safetensors"
AUTOENCODER = "vae/diffusion_pytorch_model.safetensors"
# Of each file, a tensor that is used.
USED = {
    TRANSFORMER: "x_embedder.weight",
    ENCODER: "model.layers.0.mlp.up_proj.weight",
    AUTOENCODER: "decoder.conv_in.weight",
}
SHARD = "transformer/diffusion_pytorch_model-00002-of-00003.safetensors"
INDEX = "transformer/diffusion_pytorch_model.safetensors.index.json"


class Safetensors:
    """A file that is read, changed and written again: header, then data."""

    def __init__(self, path):
        data = path.read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        self.path = path
        self.header = json.loads(data[8 : 8 + length])
        self.data = bytearray(data[8 + length :])
        self.claim = 0  # beyond the header's true length

    def __enter__(self):
        self.tensors = [name for name in self.header if name != "__metadata__"]
        self.tensors.sort(key=lambda name: self.header[name]["data_offsets"])
        return self

    def __exit__(self, *_):
        text = json.dumps(self.header).encode()
        text += b" " * (-len(text) % 8)
        self.path.write_bytes(struct.pack("<Q", len(text) + self.claim) + text + self.data)

    def entry(self, name):
        return self.header[name]

    def used(self):
        """The name of a tensor that is not skipped."""
        return next(name for name in USED.values() if name in self.header)


def too_many_merges(path):
    content = json.loads(path.read_text())
    merges = content["model"]["merges"]
    merges += merges[:1] * 16 * len(content["model"]["vocab"])
    path.write_text(json.dumps(content))


def truncated(path):
    os.truncate(path, path.stat().st_size - 2)


def nearly_empty(path):
    os.truncate(path, 5)


def empty(path):
    os.truncate(path, 0)


def appended(path):
    with path.open("ab") as file:
        file.write(b"more")


def header_too_long(path):
    path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])


def header_beyond_file(path):
    path.write_bytes(struct.pack("<Q", path.stat().st_size) + path.read_bytes()[8:])


def header_too_short(path):
    with Safetensors(path) as file:
        file.claim = -8


def header_no_object(path):
    path.write_bytes(struct.pack("<Q", 8) + b"[      ]" + path.read_bytes())


def header_not_utf8(path):
    path.write_bytes(struct.pack("<Q", 8) + b'{"\xff":1}' + b"\0" * 8)


def offsets_overlap(path):
    with Safetensors(path) as file:
        first, second = (file.entry(name) for name in file.tensors[:2])
        length = second["data_offsets"][1] - second["data_offsets"][0]
        begin = first["data_offsets"][0]
        second["data_offsets"] = [begin, begin + length]


def offsets_with_gap(path):
    with Safetensors(path) as file:
        file.data[0:0] = bytes(64)
        for name in file.tensors:
            file.entry(name)["data_offsets"] = [
                offset + 64 for offset in file.entry(name)["data_offsets"]
            ]


def offsets_beyond_end(path):
    with Safetensors(path) as file:
        file.entry(file.tensors[-1])["data_offsets"] = [2**40, 2**40 + 64]


def offsets_swapped(path):
    with Safetensors(path) as file:
        file.entry(file.tensors[0])["data_offsets"].reverse()


def offsets_negative(path):
    with Safetensors(path) as file:
        file.entry(file.tensors[0])["data_offsets"][0] = -64


def offsets_missing(path):
    with Safetensors(path) as file:
        del file.entry(file.tensors[0])["data_offsets"]


def shape_too_large(path):
    with Safetensors(path) as file:
        file.entry(file.tensors[0])["shape"] = [2**62, 2**62]


def shape_of_text(path):
    with Safetensors(path) as file:
        file.entry(file.tensors[0])["shape"] = "4, 4"


def shape_transposed(path):
    with Safetensors(path) as file:
        shape = file.entry(file.used())["shape"]
        shape[:2] = reversed(shape[:2])


def tensor_missing(path):
    with Safetensors(path) as file:
        file.header["nothing.weight"] = file.header.pop(file.used())


def dtype_unknown(path):
    with Safetensors(path) as file:
        file.entry(file.tensors[0])["dtype"] = "Q4"


def dtype_unsupported(path):
    with Safetensors(path) as file:
        entry = file.entry(file.used())
        entry["dtype"] = "I32" if entry["dtype"] == "F32" else "I16"


def weight_not_a_number(path):
    with Safetensors(path) as file:
        entry = file.entry(file.used())
        width = 4 if entry["dtype"] == "F32" else 2
        end = entry["data_offsets"][1]
        file.data[end - width : end] = b"\xff" * width  # NaN in F32, F16 and BF16


def removed(path):
    path.unlink()


def made_a_folder(path):
    path.unlink()
    path.mkdir()


def unclosed(path):
    text = path.read_text().rstrip()
    path.write_text(text[:-1])


def array(path):
    path.write_text("[]")


def not_utf8(path):
    path.write_bytes(b'{"a": "\xff"}')


def deep(path):
    path.write_text("[" * 100000)


def setting(**values):
    """A config with other values; None takes a key out."""

    def change(path):
        config = json.loads(path.read_text())
        config.update(values)
        for key in [key for key, value in config.items() if value is None]:
            del config[key]
        path.write_text(json.dumps(config))

    return change


def without_shard(path):
    index = json.loads(path.read_text())
    first = next(iter(index["weight_map"]))
    index["weight_map"][first] = "diffusion_pytorch_model-00004-of-00003.safetensors"
    path.write_text(json.dumps(index))


def shard_outside(path):
    index = json.loads(path.read_text())
    first = next(iter(index["weight_map"]))
    index["weight_map"][first] = "../../../etc/passwd"
    path.write_text(json.dumps(index))


def without_map(path):
    path.write_text('{"metadata": {}}')


# Which checkpoint, which file, how it is broken, and words that must be in the message
# beside the file's name; or all of them.
FILES = [
    (
        ("f32", part, change, words)
        for part in (TRANSFORMER, ENCODER, AUTOENCODER)
        for change, words in (
            (truncated, "truncated"),
            (nearly_empty, "8"),
            (empty, "8"),
            (appended, "appended"),
            (header_too_long, "header"),
            (header_beyond_file, "header"),
            (header_too_short, "header"),
            (header_no_object, "header"),
            (header_not_utf8, "header"),
            (offsets_overlap, "overlap"),
            (offsets_with_gap, "gap"),
            (offsets_beyond_end, "tensor"),
            (offsets_swapped, "data_offsets"),
            (offsets_negative, "data_offsets"),
            (offsets_missing, "data_offsets"),
            (shape_too_large, str(2**62)),
            (shape_of_text, "shape"),
            (shape_transposed, "expected ["),
            (tensor_missing, "tensor"),
            (dtype_unknown, "Q4"),
            (dtype_unsupported, "I"),
            (weight_not_a_number, "NaN"),
            (removed, "is there"),
            (made_a_folder, "regular file"),
        )
    ),
    (
        ("f32", part, change, words)
        for part in (
            "model_index.json",
            "sluice.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "transformer/config.json",
            "vae/config.json",
            "tokenizer/tokenizer.json",
            "tokenizer/tokenizer_config.json",
        )
        for change, words in (
            (unclosed, ":"),
            (empty, ""),
            (array, ""),
            (not_utf8, ""),
            (deep, ""),
            (made_a_folder, ""),
            (removed, ""),
        )
        if (part, change) != ("sluice.json", removed)  # it is optional
    ),
    [
        ("f32", "model_index.json", setting(_class_name="FluxPipeline"), "FluxPipeline"),
        ("f32", "model_index.json", setting(_class_name=None), "_class_name"),
        ("f32", "model_index.json", setting(_class_name=7), "_class_name"),
        (
            "f32",
            "sluice.json",
            setting(text_taps=[1, 2]),
            ("transformer/config.json", "joint_attention_dim is 48, expected 32"),
        ),
        ("f32", "transformer/config.json", setting(joint_attention_dim=47), ("transformer", "47")),
        ("f32", "transformer/config.json", setting(num_layers=2**40), "num_layers"),
        ("f32", "transformer/config.json", setting(num_layers=-1), "num_layers"),
        ("f32", "transformer/config.json", setting(num_layers="1"), "num_layers"),
        ("f32", "transformer/config.json", setting(num_attention_heads=0), "num_attention_heads"),
        ("f32", "transformer/config.json", setting(_class_name="Other"), "Other"),
        ("f32", "text_encoder/config.json", setting(hidden_size=0), "hidden_size"),
        ("f32", "text_encoder/config.json", setting(num_hidden_layers=1), ""),
        ("f32", "vae/config.json", setting(latent_channels=2**31), "latent_channels"),
        ("f32", "vae/config.json", setting(block_out_channels=[]), "block_out_channels"),
        ("f32", "scheduler/scheduler_config.json", setting(_class_name="DDIM"), "DDIM"),
        ("f32", "tokenizer/tokenizer.json", too_many_merges, "expected at most"),
        ("f32", "sluice.json", setting(width=17), "multiple"),
        ("f32", "sluice.json", setting(steps=0), "steps"),
        ("f32", "sluice.json", setting(max_pixels=10), "max_pixels"),
        ("f32", "sluice.json", setting(max_pixel=65536), "max_pixel is not known"),
        ("two-taps", "sluice.json", setting(text_taps=[1, 9]), ("text tap 9",)),
        ("two-taps", "sluice.json", setting(text_taps=[3, 1]), ("text tap 1",)),
        ("bf16-sharded", INDEX, without_shard, "00004-of-00003"),
        ("bf16-sharded", INDEX, shard_outside, "passwd"),
        ("bf16-sharded", INDEX, without_map, "weight_map"),
        ("bf16-sharded", INDEX, unclosed, ":"),
        ("bf16-sharded", SHARD, removed, ""),
        ("bf16-sharded", SHARD, truncated, "truncated"),
    ],
]


class BrokenModelsTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def check_refused(self, *options, words=()):
        """The server does not start, and says why."""
        start = time.monotonic()
        done = run_sluice("serve", "--port", "0", "--admin-port", "0", *options)
        took = time.monotonic() - start
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"\Asluice: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertLess(took, SECONDS)
        entry = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((entry["level"], entry["event"]), ("error", "start"))
        return done.stderr

    def copy(self, name):
        model = self.folder / "model"
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(tiny(name), model)
        return model

    def test_files(self):
        count = 0
        for name, part, change, words in (case for cases in FILES for case in cases):
            with self.subTest(part, change=change.__name__, words=words):
                model = self.copy(name)
                change(model / part)
                # What is not there may be missed in its folder.
                is_absent = change in (removed, tensor_missing)
                named = Path(part).parent.name if is_absent else Path(part).name
                if isinstance(words, str):
                    words = (named, words)
                self.check_refused("--model", model, words=words)
            count += 1
        self.assertGreater(count, 150)

    def test_inspect_says_the_same(self):
        model = self.copy("f32")
        truncated(model / TRANSFORMER)
        message = self.check_refused("--model", model)
        done = run_sluice("inspect", model)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, message)

    def test_no_model(self):
        (self.folder / "file").write_text("{}")
        for name in ("nothing", "", "file", "file/nothing"):
            self.check_refused("--model", self.folder / name, words=("model_index.json",))
        self.check_refused("--model", self.folder / ("a" * 3000))

    def test_unused_tensors_and_scalars_are_tolerated(self):
        model = self.copy("f32")
        with Safetensors(model / TRANSFORMER) as file:
            end = len(file.data)
            file.header["unused.count"] = {
                "dtype": "I64",
                "shape": [],
                "data_offsets": [end, end + 8],
            }
            file.data += bytes(8)
        with Server(model) as server, Server(tiny("f32")) as plain:
            request = {"prompt": "a cat", "seed": 1, "steps": 2}
            pictures = [
                one.post(request).body[-1000:] for one in (server, plain)
            ]
            self.assertEqual(*pictures)

    def test_no_room_for_a_picture(self):
        self.check_refused("--model", tiny("f32"), "--max-pixels", "1", words=("--max-pixels",))

    def test_memory_limit(self):
        message = self.check_refused(
            "--model", tiny("f32"), "--memory-limit", "30M", words=("MiB", "--memory-limit")
        )
        self.assertIn("--workers", message)
        message = self.check_refused("--model", tiny("f32"), "--memory-limit", "100K")
        self.assertIn("weights alone", message)
        self.check_refused("--model", tiny("f32"), "--workers", "1000", "--memory-limit", "1G")

    def test_ports_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            for option in ("--port", "--admin-port"):
                self.check_refused(
                    "--model", tiny("f32"), option, port, words=("127.0.0.1", port, "in use")
                )
        with Server(tiny("f32")) as server:
            port = str(server.port)
            self.check_refused("--model", tiny("f32"), "--port", port, words=("in use",))

    def test_hosts_that_are_not_here(self):
        for host in ("192.0.2.1", "no.such.host.invalid", "::1::", "a" * 300):
            self.check_refused("--model", tiny("f32"), "--host", host, words=(host[:40],))


if __name__ == "__main__":
    unittest.main()
