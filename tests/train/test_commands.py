#!/usr/bin/env python3
"""Every command once, on drawings made here and a network of a fraction of the size: a
training resumes where it ended, improves, and its export is a folder that diffusers loads."""

import colorsys
import contextlib
import io
import json
import os
import tempfile
import unittest
from pathlib import Path
from xml.etree import ElementTree

import needs

needs.packages("torch", "diffusers", "transformers", "numpy", "PIL", "tqdm", "resvg_py")

import torch
from diffusers import Flux2KleinPipeline

from model.train import (
    __main__, autoencoder, drawings, features, flow, latents, network, objectives, pairs, run, text,
    training,
)

ENTRIES = 60
BASED = {"autoencoder", "text", "flow", "rectify", "consist", "study", "export"}
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
    '<circle cx="32" cy="32" r="{radius}" fill="{colour}"/></svg>'
)


def write_drawings(folder: Path) -> None:
    entries = []
    for i in range(ENTRIES):
        style = ("noto", "blob", "twemoji")[i % 3]
        red, green, blue = colorsys.hsv_to_rgb(i / ENTRIES, 1, 1)
        colour = f"rgb({255 * red:.0f},{255 * green:.0f},{255 * blue:.0f})"
        path = folder / style / f"{i}.svg"
        path.parent.mkdir(exist_ok=True)
        path.write_text(SVG.format(radius=10 + i % 20, colour=colour))
        entries.append({
            "file": f"{style}/{i}.svg", "style": style, "name": f"circle: {i}",
            "keywords": ["round", colour], "group": "Symbols" if i % 2 else "Objects",
            "subgroup": f"hue {i // 20}",
        })
    entries.append({**entries[0], "file": "noto/absent.svg"})
    (folder / "captions.json").write_text(json.dumps(entries))


def write_base(folder: Path) -> None:
    """The house's autoencoder, tokenizer and schedule with a fresh transformer, smaller."""
    torch.manual_seed(0)
    tokenizer = network.load_tokenizer(network.HOUSE)
    small = network.Network.fresh(
        len(tokenizer), tokenizer.pad_token_id, num_layers=1, num_single_layers=1,
        num_attention_heads=2,
    )
    pipe = Flux2KleinPipeline.from_pretrained(
        network.HOUSE, text_encoder=small.text, transformer=small.dit, dtype=torch.float32
    )
    pipe.save_pretrained(folder)
    (folder / "sluice.json").write_text('{"name": "base", "guidance": 3.0, "steps": 20}')


def shrink_everything() -> None:
    """The constants of a real training, cut to what a test can wait for."""
    drawings.SIDES, drawings.HELD_OUT = (64,), 6
    for module in (drawings, autoencoder, objectives, pairs):
        module.SIZES = ((64, 64), (64, 96))
    for module in (autoencoder, objectives, pairs):
        module.SIZE_WEIGHTS = (1, 1)
    autoencoder.PIXELS, autoencoder.EVERY = 2 * 64 * 64, 2
    autoencoder.MEASURED = (64, 64)
    text.BATCH, text.BRIDGED = 16, 128
    objectives.TOKENS, flow.SHEET_PROMPTS = 256, flow.SHEET_PROMPTS[:2]
    training.WARM_STEPS, flow.SHEET_STEPS = 2, (1, 2)
    pairs.COUNT, pairs.STEPS, features.BATCH = 2, 2, 8


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = Path(cls.folder.name)
        cls.work, cls.base = cls.root / "work", cls.root / "base"
        (cls.root / "drawings").mkdir()
        write_drawings(cls.root / "drawings")
        write_base(cls.base)
        shrink_everything()
        cls.call("data", "--drawings", cls.root / "drawings")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def call(cls, command, *options):
        base = ["--base", cls.base] if command in BASED else []
        arguments = [command, "--work", cls.work, *base, *options]
        __main__.main([str(argument) for argument in arguments])

    def checkpoint(self, name):
        return torch.load(self.work / f"{name}.pt", weights_only=True)

    def test_1_data(self):
        data = drawings.Drawings(self.work)
        self.assertEqual(len(data.entries), ENTRIES)
        self.assertFalse(set(data.train) & set(data.held_out))
        drawn = set(data.draw(2000).tolist())
        self.assertEqual(drawn, set(data.train.tolist()))
        self.assertEqual(set(data.draw_held_out(2000).tolist()), set(data.held_out.tolist()))
        picture = data.pictures([0], (64, 96))[0]
        self.assertEqual(picture[:, 32, 48].tolist(), [1.0, -1.0, -1.0])
        self.assertEqual(picture[:, 32, 2].tolist(), [1.0, 1.0, 1.0])

    def test_2_autoencoder(self):
        encoder = latents.encoder_digest(network.Autoencoder.load(self.base))
        data = drawings.Drawings(self.work)
        before = autoencoder.held_out_psnr(
            autoencoder.trained(self.work, self.base), data, (64, 64)
        )
        self.call("autoencoder", "--minutes", "0.06")
        after = autoencoder.trained(self.work, self.base)
        self.assertEqual(latents.encoder_digest(after), encoder)
        self.assertGreater(autoencoder.held_out_psnr(after, data, (64, 64)), before)
        self.assertTrue((self.work / "samples/autoencoder.png").is_file())

    def test_3_a_text_encoder_is_trained_and_stays(self):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.call("text", "--minutes", "0.05")
        told = [float(line.split(": ")[1]) for line in printed.getvalue().splitlines()]
        self.assertEqual(len(told), 2)
        self.assertGreater(told[0], 0.0)  # the mean of all drawings tells nothing
        key = "model.layers.0.mlp.up_proj.weight"
        before = network.Network.load(self.base).text.state_dict()[key]
        after = flow.trained(self.work, self.base, "flow").text.state_dict()[key]
        self.assertFalse(torch.equal(before, after))
        self.call("flow", "--minutes", "0.01")
        kept = flow.trained(self.work, self.base, "flow").text.state_dict()[key]
        self.assertTrue(torch.equal(after, kept))

    def test_3_b_transformer_reads_another_text_encoder(self):
        tokenizer, data = network.load_tokenizer(self.base), drawings.Drawings(self.work)
        other, before = network.Network.load(self.base), network.Network.load(self.base)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in other.text.parameters():
                parameter.add_(0.3 * parameter.std() * torch.randn_like(parameter))

        def read(one):
            prompts = ["a circle", "circle 7, noto style", "round", ""]
            with torch.no_grad():
                return one.dit.context_embedder(
                    one.context(*network.tokenize(tokenizer, prompts))
                )

        def far():
            return (read(other) - read(before)).square().mean().item()

        apart = far()
        kept = text.bridge(other, before.text, data, tokenizer)
        self.assertLess(far(), 0.2 * apart)
        self.assertTrue(0.8 < kept <= 1.0, kept)
        same = network.Network.load(self.base)
        self.assertGreater(text.bridge(same, before.text, data, tokenizer), 0.999)

    def test_3_flow_resumes(self):
        self.call("flow", "--minutes", "0.05", "--guidance", "2")
        first = self.checkpoint("flow")
        self.call("flow", "--minutes", "0.02", "--cooldown")
        second = self.checkpoint("flow")
        self.assertGreater(first["step"], 0)
        self.assertGreater(second["step"], first["step"])
        state = second["optimizer"]["adamw"]["state"][0]["step"]
        self.assertEqual(int(state), second["step"])
        self.assertTrue((self.work / "samples/flow.png").is_file())

    def test_4_rectify_and_consist(self):
        self.call("rectify", "--minutes", "0.0001", "--pairs", "40")
        self.assertFalse((self.work / "rectify.pt").exists())  # the pairs are not whole
        self.call("rectify", "--minutes", "0.06", "--pairs", "40")
        files = list((self.work / "pairs").glob("*.pt"))
        self.call("consist", "--minutes", "0.03", "--pairs", "40")
        self.assertEqual(files, list((self.work / "pairs").glob("*.pt")))
        for name in ("rectify", "consist"):
            self.assertGreater(self.checkpoint(name)["step"], 0)
        steps = {name: self.checkpoint(name)["network"] for name in ("flow", "rectify", "consist")}
        for one, other in (("flow", "rectify"), ("rectify", "consist")):
            moved = [not torch.equal(a, b) for a, b in zip(steps[one], steps[other], strict=True)]
            # All, but for the first steps of a warming rate, where a box holds no more.
            self.assertGreater(sum(moved), len(moved) / 2)
        with self.assertRaisesRegex(SystemExit, "trained with another text encoder"):
            training.load_average(
                flow.trained(self.work, self.base, "flow"), self.work / "flow.pt", "another"
            )

    def test_4_flow_from_nothing(self):
        """A second run goes on, and an export finds the text encoder that it stood on."""
        work = self.root / "from-nothing"
        work.mkdir()
        for name in ("entries.json", "pictures", "latents", "autoencoder.pt"):
            (work / name).symlink_to(self.work / name)
        options = ("--work", work, "--base", network.HOUSE, "--minutes", "0.02")
        self.call("flow", "--from-nothing", *options)
        first = torch.load(work / "flow.pt", weights_only=True)["step"]
        self.call("flow", *options)
        self.assertGreater(torch.load(work / "flow.pt", weights_only=True)["step"], first)
        self.call("export", "--stage", "flow", *options[:4], "--out", self.root / "fresh")
        with self.assertRaisesRegex(SystemExit, "goes on without --from-nothing"):
            self.call("flow", "--from-nothing", *options)

    def test_4_walks_are_learned(self):
        """The walked half alone moves every matrix, from where its own steps have led."""
        one = network.Network.load(self.base)
        made = pairs.Pairs(
            self.work, flow.trained(self.work, self.base, "flow"),
            network.load_tokenizer(self.base), 3.0,
        )
        batch = objectives.PairBatches(made, 2).draw()
        for few in ((1,), (4,)):
            one.zero_grad()
            objectives.walked(one, batch, few).backward()
            weight = one.dit.proj_out.weight.grad
            self.assertGreater(weight.abs().max().item(), 0.0)

    def test_5_export_and_evaluate(self):
        for stage, distilled in (("flow", False), ("rectify", True)):
            out = self.root / stage
            self.call("export", "--stage", stage, "--out", out)
            pipe = Flux2KleinPipeline.from_pretrained(out, dtype=torch.float32)
            self.assertEqual(pipe.config.is_distilled, distilled)
            picture = pipe(
                prompt="circle", height=64, width=64, num_inference_steps=1,
                max_sequence_length=32, text_encoder_out_layers=(1, 2, 3),
            ).images[0]
            self.assertEqual(picture.size, (64, 64))
            for part in ("transformer/config.json", "vae/config.json", "model_index.json"):
                self.assertNotIn("_name_or_path", (out / part).read_text())
        settings = json.loads((self.root / "rectify/sluice.json").read_text())
        self.assertEqual((settings["name"], settings["guidance"]), ("base-rectified", 1.0))

    def test_5_export_shares_what_is_equal(self):
        base, out = self.root / "shared-base", self.root / "shared"
        self.call("export", "--stage", "flow", "--out", base)
        with contextlib.redirect_stdout(io.StringIO()):
            __main__.main(["export", "--stage", "rectify", "--out", str(out), "--share",
                           "--work", str(self.work), "--base", str(base)])
        linked = {path.name for path in out.iterdir() if path.is_symlink()}
        self.assertLessEqual({"text_encoder", "tokenizer", "vae"}, linked)
        self.assertNotIn("transformer", linked)
        Flux2KleinPipeline.from_pretrained(out, dtype=torch.float32)

    def test_6_measures_of_a_model(self):
        from model.train import evaluate

        evaluate.SIZE, evaluate.REFERENCE_STEPS, evaluate.DISTANCE_PROMPTS = (64, 64), 8, 2
        curve_path = self.root / "curve.json"
        options = ["--model", self.base, "--count", "20", "--seeds", "1", "2", "--steps",
                   "1", "4", "--classifier-minutes", "0.05", "--curve", curve_path]
        self.call("evaluate", *options, "--minutes", "0.0001")
        partial = json.loads(curve_path.read_text())
        self.call("evaluate", *options, "--minutes", "5")
        curve = json.loads(curve_path.read_text())
        self.assertLess(len(partial["rows"]), len(curve["rows"]))
        self.assertEqual([row["steps"] for row in curve["rows"]], [1, 4])
        self.assertEqual(partial["rows"][0]["fd_own"]["mean"],
                         json.loads((self.work / "evaluations.json").read_text())[
                             next(k for k in self.rows() if " euler 1 seed 1" in k)]["fd_own"])
        row = curve["rows"][1]
        self.assertEqual((row["evaluations"], row["seeds"]), (8, 2))
        # A fresh transformer says v = 0: noise stays noise, whatever the steps.
        self.assertGreater(row["fd_own"]["mean"], curve["floor"]["fd_own"]["mean"])
        self.assertAlmostEqual(row["distance"]["mean"], 0.0, places=5)
        self.plotted(curve)

    def plotted(self, curve):
        (self.base / "curve.json").write_text(json.dumps(curve))
        out = self.root / "curve.svg"
        self.call("plot", "--model", self.base, "--milliseconds", "10", "5", "--out", out)
        svg = ElementTree.parse(out).getroot()
        texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("base, euler", texts)
        # Of steps 1 and 4; two evaluations a step: 20 and 50 ms are two ticks of the axis.
        self.assertEqual(texts[-3:-1], ["1", "4"])
        self.assertTrue({"20", "50"} <= set(texts))

    def test_6_classifier_is_kept_and_published(self):
        self.call("classifier", "--minutes", "0.02")
        trained = features.Classifier(drawings.Drawings(self.work))
        trained.load(0)
        again = features.Classifier(drawings.Drawings(self.work))
        path, features.PUBLISHED = features.PUBLISHED, trained.path
        self.addCleanup(setattr, features, "PUBLISHED", path)
        again.path = self.root / "absent"
        again.load(0)
        self.assertEqual((again.digest(), again.accuracy), (trained.digest(), trained.accuracy))
        self.assertEqual(set(again.accuracy), {"subgroup", "style"})
        again.subgroups = ["others"]
        self.assertFalse(again._read(trained.path))

    def test_6_velocity_errors(self):
        from model.train import errors

        errors.SIZE = (64, 64)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.call("errors", "--model", self.base, "--count", "4")
        rows = [line.strip("| ").split(" | ") for line in printed.getvalue().splitlines()[2:]]
        self.assertEqual([float(row[0]) for row in rows], list(errors.TIMES))
        means = [[float(cell.split()[0]) for cell in row[1:]] for row in rows]
        # A fresh transformer says v = 0 at all times, whatever the caption.
        for error, other, none, held_out, *saved in means:
            self.assertAlmostEqual(error, means[0][0], places=5)
            self.assertGreater(min(error, held_out), 1.0)
            self.assertEqual([other, none, *saved], [0.0] * 4)

    def test_7_study(self):
        from model.train import study

        study.PAIRS, study.EVALUATIONS, study.SEEDS = 4, (1, 2), (1, 2)
        study.SMALL = {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 1}
        document = self.root / "study.md"
        document.write_text(f"before\n{study.BEGIN}\nold\n{study.END}\nafter\n")
        options = ["--budget", "60", "--count", "20", "--classifier-minutes", "0.05",
                   "--report", document]
        self.call("study", *options, "--minutes", "0.0001")
        self.assertIn("old", document.read_text())
        self.call("study", *options, "--minutes", "5")
        text = document.read_text()
        self.assertNotIn("old", text)
        self.assertTrue(text.startswith("before\n") and text.endswith("after\n"))
        lines = [line for line in text.splitlines() if line.startswith("| ")]
        # A head, the floor, and four trainings at two numbers of steps in two ways.
        self.assertEqual(len(lines), 2 + 4 * 2 * 2)
        plot = ElementTree.parse(self.root / "study-native.svg").getroot()
        self.assertEqual(len(plot.findall("{http://www.w3.org/2000/svg}polyline")), 4)

    def rows(self):
        return json.loads((self.work / "evaluations.json").read_text())


class Box(unittest.TestCase):
    def test_a_signal_ends_the_command_and_saves(self):
        saved = []
        box = run.Run("box", 5, lambda: saved.append(True))
        with self.assertRaises(SystemExit) as end:
            for count in box.steps():
                if count == 2:
                    os.kill(os.getpid(), 15)
                self.assertLess(count, 4)
        self.assertEqual((saved, end.exception.code), ([True], 0))

    def test_a_box_without_a_step_saves_nothing(self):
        saved = []
        for _ in run.Run("box", 0, lambda: saved.append(True)).steps():
            pass
        self.assertEqual(saved, [])


if __name__ == "__main__":
    unittest.main()
