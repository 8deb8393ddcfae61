#!/usr/bin/env python3
"""Writes FLUX.2-klein-4B's configs, tensor names and shapes, without the weights.

    klein_sparse.py OUT

The weight files have true headers; their data is a hole, so that 16 GB take a few hundred
kilobytes of disk and read as zeros. For trying what only looks at a model's headers.
Names and shapes: huggingface/diffusers models/transformers/transformer_flux2.py and
models/autoencoders/vae.py; huggingface/transformers models/qwen3/modeling_qwen3.py.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

Shape = tuple[int, ...]
Tensors = Iterator[tuple[str, Shape]]

TRANSFORMER = {
    "_class_name": "Flux2Transformer2DModel",
    "_diffusers_version": "0.37.0.dev0",
    "attention_head_dim": 128,
    "axes_dims_rope": [32, 32, 32, 32],
    "eps": 1e-06,
    "guidance_embeds": False,
    "in_channels": 128,
    "joint_attention_dim": 7680,
    "mlp_ratio": 3.0,
    "num_attention_heads": 24,
    "num_layers": 5,
    "num_single_layers": 20,
    "out_channels": None,
    "patch_size": 1,
    "rope_theta": 2000,
    "timestep_guidance_channels": 256,
}
TEXT_ENCODER = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "dtype": "bfloat16",
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 2560,
    "initializer_range": 0.02,
    "intermediate_size": 9728,
    "layer_types": ["full_attention"] * 36,
    "max_position_embeddings": 40960,
    "max_window_layers": 36,
    "model_type": "qwen3",
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "transformers_version": "4.57.1",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
AUTOENCODER = {
    "_class_name": "AutoencoderKLFlux2",
    "_diffusers_version": "0.37.0.dev0",
    "act_fn": "silu",
    "batch_norm_eps": 0.0001,
    "batch_norm_momentum": 0.1,
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 32,
    "layers_per_block": 2,
    "mid_block_add_attention": True,
    "norm_num_groups": 32,
    "out_channels": 3,
    "patch_size": [2, 2],
    "sample_size": 1024,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}
SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.37.0.dev0",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "invert_sigmas": False,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "shift_terminal": None,
    "stochastic_sampling": False,
    "time_shift_type": "exponential",
    "use_beta_sigmas": False,
    "use_dynamic_shifting": True,
    "use_exponential_sigmas": False,
    "use_karras_sigmas": False,
}
MODEL_INDEX = {
    "_class_name": "Flux2KleinPipeline",
    "_diffusers_version": "0.37.0.dev0",
    "is_distilled": True,
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen3ForCausalLM"],
    "tokenizer": ["transformers", "Qwen2TokenizerFast"],
    "transformer": ["diffusers", "Flux2Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKLFlux2"],
}
ADDED_TOKENS = {  # id: (text, special)
    151643: ("<|endoftext|>", True),
    151644: ("<|im_start|>", True),
    151645: ("<|im_end|>", True),
    151667: ("<think>", False),
    151668: ("</think>", False),
}
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}"
    "{%- if enable_thinking is defined and enable_thinking is false -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}{%- endif -%}"
)
SIZES = {"BF16": 2, "I64": 8}


def transformer_tensors() -> Tensors:
    head = TRANSFORMER["attention_head_dim"]
    width = TRANSFORMER["num_attention_heads"] * head
    mlp = int(width * TRANSFORMER["mlp_ratio"])
    channels = TRANSFORMER["in_channels"]
    time = "time_guidance_embed.timestep_embedder"
    yield "x_embedder.weight", (width, channels)
    yield "context_embedder.weight", (width, TRANSFORMER["joint_attention_dim"])
    yield f"{time}.linear_1.weight", (width, TRANSFORMER["timestep_guidance_channels"])
    yield f"{time}.linear_2.weight", (width, width)
    yield "double_stream_modulation_img.linear.weight", (6 * width, width)
    yield "double_stream_modulation_txt.linear.weight", (6 * width, width)
    yield "single_stream_modulation.linear.weight", (3 * width, width)
    yield "norm_out.linear.weight", (2 * width, width)
    yield "proj_out.weight", (channels, width)
    for i in range(TRANSFORMER["num_layers"]):
        yield from double_block(f"transformer_blocks.{i}", width, head, mlp)
    for i in range(TRANSFORMER["num_single_layers"]):
        attention = f"single_transformer_blocks.{i}.attn"
        yield f"{attention}.to_qkv_mlp_proj.weight", (3 * width + 2 * mlp, width)
        yield f"{attention}.to_out.weight", (width, width + mlp)
        yield f"{attention}.norm_q.weight", (head,)
        yield f"{attention}.norm_k.weight", (head,)


def double_block(block: str, width: int, head: int, mlp: int) -> Tensors:
    for name in ("to_q", "to_k", "to_v", "to_out.0",
                 "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
        yield f"{block}.attn.{name}.weight", (width, width)
    for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        yield f"{block}.attn.{name}.weight", (head,)
    for name in ("ff", "ff_context"):
        yield f"{block}.{name}.linear_in.weight", (2 * mlp, width)
        yield f"{block}.{name}.linear_out.weight", (width, mlp)


def text_encoder_tensors() -> Tensors:
    hidden = TEXT_ENCODER["hidden_size"]
    head = TEXT_ENCODER["head_dim"]
    queries = TEXT_ENCODER["num_attention_heads"] * head
    keys = TEXT_ENCODER["num_key_value_heads"] * head
    mlp = TEXT_ENCODER["intermediate_size"]
    yield "model.embed_tokens.weight", (TEXT_ENCODER["vocab_size"], hidden)
    for i in range(TEXT_ENCODER["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.mlp.down_proj.weight", (hidden, mlp)
        yield f"{layer}.mlp.gate_proj.weight", (mlp, hidden)
        yield f"{layer}.mlp.up_proj.weight", (mlp, hidden)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        yield f"{layer}.self_attn.k_norm.weight", (head,)
        yield f"{layer}.self_attn.k_proj.weight", (keys, hidden)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, queries)
        yield f"{layer}.self_attn.q_norm.weight", (head,)
        yield f"{layer}.self_attn.q_proj.weight", (queries, hidden)
        yield f"{layer}.self_attn.v_proj.weight", (keys, hidden)
    yield "model.norm.weight", (hidden,)


def autoencoder_tensors() -> Tensors:
    latent = AUTOENCODER["latent_channels"]
    yield from encoder_tensors(latent)
    yield from decoder_tensors(latent)
    yield from convolution("quant_conv", 2 * latent, 2 * latent, 1)
    yield from convolution("post_quant_conv", latent, latent, 1)
    features = math.prod(AUTOENCODER["patch_size"]) * latent
    yield "bn.running_mean", (features,)
    yield "bn.running_var", (features,)
    yield "bn.num_batches_tracked", ()


def encoder_tensors(latent: int) -> Tensors:
    channels = AUTOENCODER["block_out_channels"]
    yield from convolution("encoder.conv_in", AUTOENCODER["in_channels"], channels[0], 3)
    before = channels[0]
    for i, width in enumerate(channels):
        block = f"encoder.down_blocks.{i}"
        for j in range(AUTOENCODER["layers_per_block"]):
            yield from resnet(f"{block}.resnets.{j}", before, width)
            before = width
        if i < len(channels) - 1:
            yield from convolution(f"{block}.downsamplers.0.conv", width, width, 3)
    yield from middle_and_end("encoder", channels[-1], channels[-1], 2 * latent)


def decoder_tensors(latent: int) -> Tensors:
    channels = AUTOENCODER["block_out_channels"][::-1]
    yield from convolution("decoder.conv_in", latent, channels[0], 3)
    before = channels[0]
    for i, width in enumerate(channels):
        block = f"decoder.up_blocks.{i}"
        for j in range(AUTOENCODER["layers_per_block"] + 1):
            yield from resnet(f"{block}.resnets.{j}", before, width)
            before = width
        if i < len(channels) - 1:
            yield from convolution(f"{block}.upsamplers.0.conv", width, width, 3)
    yield from middle_and_end("decoder", channels[0], before, AUTOENCODER["out_channels"])


def middle_and_end(part: str, middle: int, last: int, out: int) -> Tensors:
    yield from resnet(f"{part}.mid_block.resnets.0", middle, middle)
    attention = f"{part}.mid_block.attentions.0"
    yield from weight_and_bias(f"{attention}.group_norm", (middle,))
    for name in ("to_q", "to_k", "to_v", "to_out.0"):
        yield from weight_and_bias(f"{attention}.{name}", (middle, middle))
    yield from resnet(f"{part}.mid_block.resnets.1", middle, middle)
    yield from weight_and_bias(f"{part}.conv_norm_out", (last,))
    yield from convolution(f"{part}.conv_out", last, out, 3)


def resnet(name: str, channels_in: int, channels_out: int) -> Tensors:
    yield from weight_and_bias(f"{name}.norm1", (channels_in,))
    yield from convolution(f"{name}.conv1", channels_in, channels_out, 3)
    yield from weight_and_bias(f"{name}.norm2", (channels_out,))
    yield from convolution(f"{name}.conv2", channels_out, channels_out, 3)
    if channels_in != channels_out:
        yield from convolution(f"{name}.conv_shortcut", channels_in, channels_out, 1)


def convolution(name: str, channels_in: int, channels_out: int, side: int) -> Tensors:
    yield from weight_and_bias(name, (channels_out, channels_in, side, side))


def weight_and_bias(name: str, shape: Shape) -> Tensors:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def data_type(name: str) -> str:
    return "I64" if name.endswith("num_batches_tracked") else "BF16"


def byte_size(name: str, shape: Shape) -> int:
    return math.prod(shape) * SIZES[data_type(name)]


def write_weights(path: Path, tensors: dict[str, Shape]) -> None:
    """A safetensors file whose data is a hole. The largest type stands first, then
    names in order, as the safetensors library sorts them."""
    header: dict = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in sorted(tensors, key=lambda name: (-SIZES[data_type(name)], name)):
        begin, end = end, end + byte_size(name, tensors[name])
        header[name] = {
            "dtype": data_type(name),
            "shape": list(tensors[name]),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def write_text_encoder(folder: Path) -> None:
    """Two shards: the first is filled up to 4.97 GB, as in the published folder."""
    limit = 4_970_000_000
    shards: list[dict[str, Shape]] = [{}, {}]
    filled = 0
    for name, shape in text_encoder_tensors():
        filled += byte_size(name, shape)
        shards[0 if filled <= limit else 1][name] = shape
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-00002.safetensors"
        write_weights(folder / file, shard)
        weight_map.update(dict.fromkeys(shard, file))
    index = {"metadata": {"total_size": filled}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index)


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the bytes, in the order of Qwen2's first 256 ids:
    the printable bytes, then the others as U+0100 and on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in printable] + [chr(0x100 + i) for i in range(68)]


def tokenizer() -> dict:
    """Qwen2's form with two merges only. The added tokens stand in the vocabulary too:
    their true ids would otherwise need a vocabulary of 151,643 entries."""
    merges = [["\u0120", "a"], ["\u010a", "\u010a"]]
    vocabulary = {text: i for i, text in enumerate(byte_alphabet())}
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    vocabulary.update({text: i for i, (text, _) in ADDED_TOKENS.items()})
    split = {"type": "Split", "pattern": {"Regex": SPLIT_PATTERN}, "behavior": "Isolated",
             "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                  "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": text, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": special}
            for i, (text, special) in ADDED_TOKENS.items()
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": "", "end_of_word_suffix": "",
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocabulary, "merges": merges},
    }


def tokenizer_config() -> dict:
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def write_folder(out: Path) -> None:
    weights = "diffusion_pytorch_model.safetensors"
    write_json(out / "model_index.json", MODEL_INDEX)
    write_json(out / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(out / "transformer" / "config.json", TRANSFORMER)
    write_weights(out / "transformer" / weights, dict(transformer_tensors()))
    write_json(out / "vae" / "config.json", AUTOENCODER)
    write_weights(out / "vae" / weights, dict(autoencoder_tensors()))
    write_json(out / "text_encoder" / "config.json", TEXT_ENCODER)
    write_text_encoder(out / "text_encoder")
    write_json(out / "tokenizer" / "tokenizer.json", tokenizer())
    write_json(out / "tokenizer" / "tokenizer_config.json", tokenizer_config())
    (out / "tokenizer" / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: klein_sparse.py OUT")
    write_folder(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
