"""One peer in a process of its own: takes commands as lines of JSON, answers the same way.

    peer.py KIND MODEL CACHE THREADS      KIND: eager, compile, onnxruntime, openvino, sdcpp

    {"do": "pictures", "prompts": [...], "seeds": [...], "steps": N, "side": N}
        from the prompts to PNG bytes: {"ms": ..., "pngs": [base64, ...]}
    {"do": "velocity", "batch": N, "side": N, "seconds": S}
        the transformer alone, several times: {"ms": [...]}

What is not run is an answer {"error": ...}.
"""

import base64
import hashlib
import io
import json
import os
import pathlib
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
MOST_RUNS = 15


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def text_settings(model):
    """What diffusers does not read from the folder itself: taps, and the prompt's length."""
    settings = {}
    if (model / "sluice.json").exists():
        settings = read_json(model / "sluice.json")
    layers = read_json(model / "text_encoder" / "config.json")["num_hidden_layers"]
    taps = settings.get("text_taps", [layers // 4, layers // 2, 3 * layers // 4])
    length = read_json(model / "tokenizer" / "tokenizer_config.json")["model_max_length"]
    return tuple(taps), min(length, 512)


def to_png(image):
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def load_pipeline(model):
    import torch
    from diffusers import Flux2KleinPipeline
    from diffusers.utils import logging

    logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    pipe = Flux2KleinPipeline.from_pretrained(model, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Diffusers:
    """The pipeline as its users call it."""

    def __init__(self, model, cache, threads, compiled):
        import torch

        self.torch = torch
        torch.set_num_threads(threads)
        self.taps, self.length = text_settings(model)
        self.pipe = load_pipeline(model)
        if compiled:
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "inductor"))
            torch._dynamo.config.cache_size_limit = 64
            self.pipe.transformer.compile(dynamic=False)
            self.pipe.vae.decoder.compile(dynamic=False)

    def pictures(self, prompts, seeds, steps, side):
        generators = [self.torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with self.torch.inference_mode():
            images = self.pipe(
                prompt=prompts,
                generator=generators,
                width=side,
                height=side,
                num_inference_steps=steps,
                guidance_scale=1.0,
                text_encoder_out_layers=self.taps,
                max_sequence_length=self.length,
            ).images
        return [to_png(image) for image in images]

    def prepare_velocity(self, batch, side):
        pipe, torch = self.pipe, self.torch
        grid = side // (2 * pipe.vae_scale_factor)
        latent = torch.randn(batch, pipe.transformer.config.in_channels, grid, grid)
        context = torch.randn(batch, self.length, pipe.transformer.config.joint_attention_dim)
        arguments = {
            "hidden_states": pipe._pack_latents(latent),
            "timestep": torch.full((batch,), 0.5),
            "guidance": None,
            "encoder_hidden_states": context,
            "txt_ids": pipe._prepare_text_ids(context),
            "img_ids": pipe._prepare_latent_ids(latent),
            "return_dict": False,
        }

        def call():
            with torch.inference_mode():
                pipe.transformer(**arguments)

        return call


class OnnxRuntime:
    """The exported graphs, with sizes left open, as ONNX Runtime takes them."""

    def __init__(self, folder, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.sessions = {
            name: onnxruntime.InferenceSession(
                str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for name in ("text", "velocity", "decoder")
        }
        self.inputs = {
            name: {entry.name for entry in session.get_inputs()}
            for name, session in self.sessions.items()
        }

    def run(self, name, feeds):
        known = {key: value for key, value in feeds.items() if key in self.inputs[name]}
        return self.sessions[name].run(None, known)[0]


class OpenVino:
    """The same graphs, compiled for each size that comes."""

    def __init__(self, folder, threads):
        import openvino

        self.folder = folder
        self.core = openvino.Core()
        self.settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.requests = {}

    def run(self, name, feeds):
        key = (name, *(value.shape for value in feeds.values()))
        if key not in self.requests:
            model = self.core.read_model(self.folder / f"{name}.onnx")
            inputs = {entry.get_any_name() for entry in model.inputs}
            model.reshape({k: list(v.shape) for k, v in feeds.items() if k in inputs})
            compiled = self.core.compile_model(model, "CPU", self.settings)
            self.requests[key] = (compiled.create_infer_request(), inputs)
        request, inputs = self.requests[key]
        request.infer({k: v for k, v in feeds.items() if k in inputs}, share_outputs=True)
        return request.get_output_tensor(0).data.copy()


class Engine:
    """A loop of one's own around exported graphs, as lean as can be: tokenizer, encoder,
    Euler steps, decoder, PNG."""

    def __init__(self, model, cache, threads, engine):
        import numpy
        import torch
        from diffusers import FlowMatchEulerDiscreteScheduler
        from diffusers.pipelines.flux2 import pipeline_flux2_klein
        from PIL import Image
        from safetensors import safe_open
        from transformers import AutoTokenizer

        torch.set_num_threads(1)  # it draws the noise only
        self.torch, self.np, self.image = torch, numpy, Image
        self.empirical_mu = pipeline_flux2_klein.compute_empirical_mu
        _, self.length = text_settings(model)
        self.tokenizer = AutoTokenizer.from_pretrained(model / "tokenizer")
        self.scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(model / "scheduler")
        self.channels = read_json(model / "transformer" / "config.json")["in_channels"]
        self.width = read_json(model / "transformer" / "config.json")["joint_attention_dim"]
        config = read_json(model / "vae" / "config.json")
        self.scale = 2 ** len(config["block_out_channels"])
        with safe_open(model / "vae" / "diffusion_pytorch_model.safetensors", "pt") as file:
            self.mean = file.get_tensor("bn.running_mean").float().numpy()
            variance = file.get_tensor("bn.running_var").float().numpy()
        self.deviation = numpy.sqrt(variance + config["batch_norm_eps"])
        self.engine = engine(exported(model, cache), threads)

    def encode(self, prompts):
        texts = [
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}],
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
            for prompt in prompts
        ]
        tokens = self.tokenizer(
            texts, return_tensors="np", padding="max_length", truncation=True,
            max_length=self.length,
        )
        feeds = {"ids": tokens["input_ids"], "mask": tokens["attention_mask"]}
        return self.engine.run("text", feeds)

    def positions(self, batch, grid):
        np = self.np
        text = np.zeros((batch, self.length, 4), np.float32)
        text[..., 3] = np.arange(self.length)
        image = np.zeros((batch, grid * grid, 4), np.float32)
        image[..., 1] = np.repeat(np.arange(grid), grid)
        image[..., 2] = np.tile(np.arange(grid), grid)
        return text, image

    def pictures(self, prompts, seeds, steps, side):
        np, batch, grid = self.np, len(prompts), side // self.scale
        context = self.encode(prompts)
        noise = [
            self.torch.randn(
                1, self.channels, grid, grid,
                generator=self.torch.Generator("cpu").manual_seed(seed),
            )
            for seed in seeds
        ]
        x = self.torch.cat(noise).numpy().reshape(batch, self.channels, -1)
        x = np.ascontiguousarray(x.transpose(0, 2, 1))
        text, image = self.positions(batch, grid)
        self.scheduler.set_timesteps(
            sigmas=np.linspace(1.0, 1 / steps, steps),
            mu=self.empirical_mu(image_seq_len=grid * grid, num_steps=steps),
        )
        sigmas = self.scheduler.sigmas.numpy()
        times = (self.scheduler.timesteps / 1000).numpy()
        for i in range(steps):
            feeds = {"x": x, "context": context, "t": np.full(batch, times[i], np.float32),
                     "text_ids": text, "image_ids": image}
            x = x + (sigmas[i + 1] - sigmas[i]) * self.engine.run("velocity", feeds)
        return self.decode(x, grid)

    def decode(self, x, grid):
        np, batch = self.np, len(x)
        z = (x * self.deviation + self.mean).astype(np.float32)
        z = z.transpose(0, 2, 1).reshape(batch, self.channels // 4, 2, 2, grid, grid)
        z = z.transpose(0, 1, 4, 2, 5, 3).reshape(batch, -1, 2 * grid, 2 * grid)
        pixels = self.engine.run("decoder", {"z": np.ascontiguousarray(z)})
        pixels = np.clip(pixels / 2 + 0.5, 0, 1).transpose(0, 2, 3, 1)
        pixels = (pixels * 255).round().astype(np.uint8)
        return [to_png(self.image.fromarray(picture)) for picture in pixels]

    def prepare_velocity(self, batch, side):
        np, grid = self.np, side // self.scale
        text, image = self.positions(batch, grid)
        random = np.random.default_rng(1)
        feeds = {
            "x": random.standard_normal((batch, grid * grid, self.channels), np.float32),
            "context": random.standard_normal((batch, self.length, self.width), np.float32),
            "t": np.full(batch, 0.5, np.float32),
            "text_ids": text,
            "image_ids": image,
        }
        return lambda: self.engine.run("velocity", feeds)


class StableDiffusionCpp:
    """Loads the folder's files as its Python package offers to, or says why not. (Release
    0.4.7 fixes 128 latent channels and axes of 32 for FLUX.2, src/flux.hpp: klein's, not
    those of its miniature.)"""

    def __init__(self, model, cache, threads):
        try:
            from stable_diffusion_cpp import StableDiffusion
        except ModuleNotFoundError as error:
            raise RuntimeError(
                f"{error}; PyPI has only its source: compare --stable-diffusion-cpp compiles it"
            ) from None
        self.engine = StableDiffusion(
            diffusion_model_path=str(next((model / "transformer").glob("*.safetensors"))),
            llm_path=str(next((model / "text_encoder").glob("*.safetensors"))),
            vae_path=str(next((model / "vae").glob("*.safetensors"))),
            n_threads=threads,
        )

    def pictures(self, prompts, seeds, steps, side):
        return [
            to_png(
                self.engine.generate_image(
                    prompt=prompt, seed=seed, sample_steps=steps, width=side, height=side,
                    cfg_scale=1.0, sample_method="euler",
                )[0]
            )
            for prompt, seed in zip(prompts, seeds)
        ]


def exported(model, cache):
    """The folder with the model's three graphs, exported when they are not there."""
    digest = hashlib.sha256(pathlib.Path(__file__).with_name("export.py").read_bytes())
    digest.update(pathlib.Path(__file__).with_name("requirements.txt").read_bytes())
    for file in sorted(model.rglob("*")):
        if file.suffix in (".json", ".safetensors"):
            digest.update(file.name.encode() + file.read_bytes())
    folder = cache / f"onnx-{digest.hexdigest()[:12]}"
    if not (folder / "complete").exists():
        import export

        folder.mkdir(exist_ok=True)
        taps, length = text_settings(model)
        export.export(load_pipeline(model), taps, length, folder)
        (folder / "complete").touch()
    return folder


KINDS = {
    "eager": lambda *where: Diffusers(*where, compiled=False),
    "compile": lambda *where: Diffusers(*where, compiled=True),
    "onnxruntime": lambda *where: Engine(*where, engine=OnnxRuntime),
    "openvino": lambda *where: Engine(*where, engine=OpenVino),
    "sdcpp": StableDiffusionCpp,
}


def answer(peer, command):
    if command["do"] == "pictures":
        keys = ("prompts", "seeds", "steps", "side")
        start = time.perf_counter()
        pngs = peer.pictures(*(command[key] for key in keys))
        ms = (time.perf_counter() - start) * 1000
        return {"ms": ms, "pngs": [base64.b64encode(png).decode() for png in pngs]}
    call = peer.prepare_velocity(command["batch"], command["side"])
    call()
    times, end = [], time.perf_counter() + command["seconds"]
    while len(times) < 3 or time.perf_counter() < end and len(times) < MOST_RUNS:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    return {"ms": times}


def main():
    kind, model, cache, threads = sys.argv[1:]
    # Libraries print what they like: answers have a channel of their own.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def reply(content):
        channel.write(json.dumps(content) + "\n")
        channel.flush()

    try:
        peer = KINDS[kind](pathlib.Path(model), pathlib.Path(cache), int(threads))
    except Exception as error:
        reply({"error": f"{type(error).__name__}: {error}"})
        return
    reply({"ready": True})
    for line in sys.stdin:
        try:
            reply(answer(peer, json.loads(line)))
        except Exception as error:
            reply({"error": f"{type(error).__name__}: {error}"})


main()
