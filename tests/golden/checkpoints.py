"""Random checkpoints in diffusers layout, small enough to commit, each of another shape.

A checkpoint is written by diffusers' and transformers' own save_pretrained. Its weights
are drawn so that every tensor, and every epsilon, moves the output: a wrong order, a
missing term or another epsilon is far outside the tests' tolerance.
"""

import json
import math
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from tokenizers import AddedToken, pre_tokenizers, trainers
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# In Qwen3's tokenizer these are added tokens, but not special ones.
THINK_TOKENS = ["<think>", "</think>"]
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}"
    "{%- if enable_thinking is defined and enable_thinking is false -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}{%- endif -%}"
)
TOKENIZER_CORPUS = [
    "red apple, noto style",
    "green apple, blob style",
    "grinning cat with smiling eyes, twemoji style",
    "face with tears of joy, noto style",
    "it's they're we've I'm you'll she'd don't",
    "sun behind rain cloud, blob style",
    "café crème, naïve style",
    "house with garden, twemoji style",
    "flag with star, crescent and cross",
    "日本 ☕ 👩‍🚀 é 한",
    "two  spaces,   three",
    "user\n",
    "assistant\n\n",
]

# The decoder's feature maps are kept this small, so that the variance in a group of a
# GroupNorm is about 1e-5 and its epsilon of 1e-6 counts.
DECODER_STREAM = 3e-3
# Queries and keys are normalised right after their projection: small rows make the
# epsilon of that norm count, and change nothing else.
QUERY_KEY_GAIN = 0.05


@dataclass(frozen=True)
class Checkpoint:
    seed: int
    transformer: dict
    text_encoder: dict
    vae: dict
    scheduler: dict
    text_tokens: int
    text_taps: tuple[int, ...]
    dtypes: dict[str, torch.dtype]
    vocabulary: int = 320
    is_distilled: bool = False
    max_shard_size: dict[str, str] = field(default_factory=dict)
    sluice: dict | None = None
    # The text encoder's config as transformers 4 wrote it, as published models have it.
    flat_rope_theta: bool = False


def all_of(dtype: torch.dtype) -> dict[str, torch.dtype]:
    return {"transformer": dtype, "text_encoder": dtype, "vae": dtype}


def levels(*channels: int, decoder: tuple[int, ...] | None = None, **more) -> dict:
    return {
        "block_out_channels": channels,
        "decoder_block_out_channels": decoder,
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "sample_size": 64,
        **more,
    }


STATIC_SHIFT = {"shift": 3.0}
DYNAMIC_SHIFT = {"shift": 3.0, "use_dynamic_shifting": True}

CHECKPOINTS = {
    # Everything float32; a patch of 16 pixels, quant convs, attention in the middle.
    "f32": Checkpoint(
        seed=11,
        transformer=dict(in_channels=12, num_attention_heads=3, attention_head_dim=8,
                         axes_dims_rope=(2, 2, 2, 2), num_layers=1, num_single_layers=1,
                         mlp_ratio=3.0, joint_attention_dim=48),
        text_encoder=dict(hidden_size=16, intermediate_size=40, num_hidden_layers=4,
                          num_attention_heads=3, num_key_value_heads=1, head_dim=8,
                          tie_word_embeddings=True),
        vae=levels(3, 3, 3, 3, decoder=(6, 6, 9, 9), latent_channels=3,
                   layers_per_block=1, norm_num_groups=3),
        scheduler=STATIC_SHIFT,
        text_tokens=40, text_taps=(1, 2, 3), dtypes=all_of(torch.float32),
        sluice={"name": "f32", "steps": 6, "guidance": 2.5, "width": 80, "height": 48,
                "max_pixels": 16384},
    ),
    # Sharded, taps by the rule of 8 layers, no sluice.json, a patch of 8 pixels, neither
    # quant convs nor attention in the middle.
    "bf16-sharded": Checkpoint(
        seed=12,
        transformer=dict(in_channels=8, num_attention_heads=2, attention_head_dim=24,
                         axes_dims_rope=(4, 6, 8, 6), num_layers=1, num_single_layers=1,
                         mlp_ratio=2.0, rope_theta=10000, joint_attention_dim=36),
        text_encoder=dict(hidden_size=12, intermediate_size=32, num_hidden_layers=8,
                          num_attention_heads=2, num_key_value_heads=1, head_dim=16,
                          rope_theta=50000.0, tie_word_embeddings=True),
        vae=levels(4, 8, 8, latent_channels=2, layers_per_block=2, norm_num_groups=2,
                   use_quant_conv=False, use_post_quant_conv=False,
                   mid_block_add_attention=False),
        scheduler=DYNAMIC_SHIFT,
        text_tokens=36, text_taps=(2, 4, 6), dtypes=all_of(torch.bfloat16),
        vocabulary=352,
        max_shard_size={"transformer": "120KB", "text_encoder": "20KB"},
        flat_rope_theta=True,
    ),
    # Distilled; epsilons of its own in every config that has one.
    "f16-distilled": Checkpoint(
        seed=13,
        transformer=dict(in_channels=16, num_attention_heads=5, attention_head_dim=8,
                         axes_dims_rope=(2, 2, 2, 2), num_layers=1, num_single_layers=2,
                         mlp_ratio=2.0, eps=1e-3, joint_attention_dim=60),
        text_encoder=dict(hidden_size=20, intermediate_size=48, num_hidden_layers=4,
                          num_attention_heads=2, num_key_value_heads=1, head_dim=16,
                          rms_norm_eps=1e-3, tie_word_embeddings=False),
        vae=levels(4, 4, 8, decoder=(8, 8, 12), latent_channels=4, layers_per_block=1,
                   norm_num_groups=4, use_quant_conv=False, batch_norm_eps=1e-2),
        scheduler=DYNAMIC_SHIFT,
        text_tokens=40, text_taps=(1, 2, 3), dtypes=all_of(torch.float16),
        is_distilled=True,
        sluice={"name": "f16-distilled", "text_taps": [1, 2, 3], "width": 40,
                "height": 24, "max_pixels": 4096},
    ),
    # Two taps, unevenly placed; no shift; 16 text tokens; another type in each part.
    "two-taps": Checkpoint(
        seed=14,
        transformer=dict(in_channels=12, num_attention_heads=2, attention_head_dim=16,
                         axes_dims_rope=(2, 4, 4, 6), num_layers=1, num_single_layers=1,
                         mlp_ratio=2.0, rope_theta=500, timestep_guidance_channels=128,
                         joint_attention_dim=48),
        text_encoder=dict(hidden_size=24, intermediate_size=32, num_hidden_layers=4,
                          num_attention_heads=5, num_key_value_heads=5, head_dim=8,
                          rope_theta=10000.0, tie_word_embeddings=True),
        vae=levels(4, 4, 4, 4, decoder=(4, 4, 8, 12), latent_channels=3,
                   layers_per_block=1, norm_num_groups=2, use_post_quant_conv=False,
                   mid_block_add_attention=False),
        scheduler={"shift": 1.0},
        text_tokens=16, text_taps=(1, 3),
        dtypes={"transformer": torch.bfloat16, "text_encoder": torch.float16,
                "vae": torch.float32},
        vocabulary=384,
        sluice={"name": "two-taps", "steps": 3, "guidance": 1.0, "width": 48,
                "height": 80, "max_pixels": 16384, "text_taps": [1, 3]},
    ),
    # One head, several blocks of both kinds, a linear dynamic shift, a tap behind the last
    # layer.
    "one-head": Checkpoint(
        seed=15,
        transformer=dict(in_channels=20, num_attention_heads=1, attention_head_dim=32,
                         axes_dims_rope=(8, 4, 12, 8), num_layers=2, num_single_layers=2,
                         mlp_ratio=4.0, joint_attention_dim=48),
        text_encoder=dict(hidden_size=16, intermediate_size=24, num_hidden_layers=8,
                          num_attention_heads=6, num_key_value_heads=2, head_dim=8,
                          tie_word_embeddings=True),
        vae=levels(4, 4, 8, decoder=(4, 8, 12), latent_channels=5, layers_per_block=1,
                   norm_num_groups=1),
        scheduler={**DYNAMIC_SHIFT, "time_shift_type": "linear"},
        text_tokens=24, text_taps=(1, 4, 8), dtypes=all_of(torch.bfloat16),
        sluice={"name": "one-head", "steps": 8, "guidance": 4.0, "width": 64,
                "height": 64, "text_taps": [1, 4, 8]},
    ),
}

# FLUX.2-klein-4B's width with as few blocks as show it: gigabytes, not to be committed.
KLEIN_WIDTH = Checkpoint(
    seed=16,
    transformer=dict(in_channels=128, num_attention_heads=24, attention_head_dim=128,
                     axes_dims_rope=(32, 32, 32, 32), num_layers=1, num_single_layers=1,
                     mlp_ratio=3.0, joint_attention_dim=7680),
    text_encoder=dict(hidden_size=2560, intermediate_size=9728, num_hidden_layers=4,
                      num_attention_heads=32, num_key_value_heads=8, head_dim=128,
                      tie_word_embeddings=True),
    vae=levels(16, 32, 64, 64, latent_channels=32, layers_per_block=2,
               norm_num_groups=16),
    scheduler=DYNAMIC_SHIFT,
    text_tokens=64, text_taps=(1, 2, 3), dtypes=all_of(torch.bfloat16),
    is_distilled=True,
    sluice={"name": "klein-width", "width": 128, "height": 128, "max_pixels": 65536},
)


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Replaces `folder` by the checkpoint in diffusers layout."""
    if folder.exists():
        shutil.rmtree(folder)
    tokenizer = train_tokenizer(checkpoint.vocabulary, checkpoint.text_tokens)
    parts = {
        "transformer": make_transformer(checkpoint),
        "text_encoder": make_text_encoder(checkpoint, tokenizer),
        "vae": make_autoencoder(checkpoint),
        "tokenizer": tokenizer,
        "scheduler": FlowMatchEulerDiscreteScheduler(**checkpoint.scheduler),
    }
    for name, dtype in checkpoint.dtypes.items():
        parts[name].to(dtype)
    for name, part in parts.items():
        size = checkpoint.max_shard_size.get(name)
        part.save_pretrained(folder / name, **({"max_shard_size": size} if size else {}))
    pipeline = Flux2KleinPipeline(**parts, is_distilled=checkpoint.is_distilled)
    pipeline.save_config(folder)
    if checkpoint.flat_rope_theta:
        flatten_rope_theta(folder / "text_encoder" / "config.json")
    if checkpoint.sluice is not None:
        text = json.dumps(checkpoint.sluice, indent=2) + "\n"
        (folder / "sluice.json").write_text(text)


def train_tokenizer(vocabulary: int, text_tokens: int) -> Qwen2TokenizerFast:
    """A byte-level BPE tokenizer of `vocabulary` entries in Qwen2's form."""
    no_specials = dict(unk_token=None, bos_token=None, eos_token=None, pad_token=None)
    backend = Qwen2TokenizerFast(vocab={}, merges=[], **no_specials).backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL_TOKENS) - len(THINK_TOKENS),
        special_tokens=[],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    backend.train_from_iterator(TOKENIZER_CORPUS * 3, trainer)
    backend.add_special_tokens(SPECIAL_TOKENS)
    backend.add_tokens([AddedToken(t, normalized=False) for t in THINK_TOKENS])
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "tokenizer.json"
        backend.save(str(path))
        return Qwen2TokenizerFast(
            tokenizer_file=str(path),
            unk_token=None,
            bos_token=None,
            eos_token="<|im_end|>",
            pad_token="<|endoftext|>",
            additional_special_tokens=["<|im_start|>", "<|im_end|>"],
            model_max_length=text_tokens,
            padding_side="right",
            chat_template=CHAT_TEMPLATE,
        )


def make_transformer(checkpoint: Checkpoint) -> Flux2Transformer2DModel:
    model = Flux2Transformer2DModel(guidance_embeds=False, **checkpoint.transformer)
    draw_weights(model, transformer_gain, checkpoint.seed)
    damp_fast_frequencies(model.time_guidance_embed.timestep_embedder.linear_1.weight)
    for block in model.single_transformer_blocks:
        query_and_key = block.attn.to_qkv_mlp_proj.weight[: 2 * model.inner_dim]
        query_and_key.data.mul_(QUERY_KEY_GAIN)
    return model


def damp_fast_frequencies(weight: torch.Tensor) -> None:
    """float32 knows the angle of a fast frequency at t = 1000 to some 1e-5 only: that
    must not decide whether two implementations agree."""
    half = weight.shape[1] // 2
    frequencies = 10000.0 ** (-torch.arange(half) / half)
    weight.data.mul_((1 + 30 * frequencies).pow(-2).repeat(2))


def make_text_encoder(checkpoint: Checkpoint, tokenizer) -> Qwen3ForCausalLM:
    arguments = dict(checkpoint.text_encoder)
    rope = {"rope_type": "default", "rope_theta": arguments.pop("rope_theta", 1e6)}
    config = Qwen3Config(
        vocab_size=8 * math.ceil(len(tokenizer) / 8),
        max_position_embeddings=512,
        rope_parameters=rope,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=False,
        **arguments,
    )
    model = Qwen3ForCausalLM(config)
    draw_weights(model, text_encoder_gain, checkpoint.seed + 100)
    return model


def make_autoencoder(checkpoint: Checkpoint) -> AutoencoderKLFlux2:
    model = AutoencoderKLFlux2(**checkpoint.vae)
    draw_weights(model, autoencoder_gain, checkpoint.seed + 200)
    draw_running_statistics(model.bn, checkpoint.seed + 300)
    return model


@torch.no_grad()
def draw_weights(model: torch.nn.Module, gain_of, seed: int) -> None:
    """Norm weights 1 + 0.2 n, biases 0.2 n, all else n / sqrt(fan-in); times a gain."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            drawn *= gain_of(name) / math.sqrt(parameter[0].numel())
        elif name.endswith(".bias"):
            drawn *= 0.2 * gain_of(name)
        else:
            drawn = 1 + 0.2 * drawn
        parameter.copy_(drawn)


def transformer_gain(name: str) -> float:
    if name.startswith(("x_embedder", "context_embedder")):
        return 0.05  # so that the layer norms' epsilon counts
    if "modulation" in name or name.startswith("time_guidance_embed"):
        return 2.0
    if name.startswith("proj_out"):
        return 0.7
    if any(part in name for part in (".to_q.", ".to_k.", ".add_q_proj.", ".add_k_proj.")):
        return QUERY_KEY_GAIN
    return 1.0


def text_encoder_gain(name: str) -> float:
    if name.endswith("embed_tokens.weight"):
        return 0.1  # so that the RMS norms' epsilon counts
    if name.endswith(("q_proj.weight", "k_proj.weight")):
        return QUERY_KEY_GAIN
    return 1.0


def autoencoder_gain(name: str) -> float:
    if not name.startswith("decoder.") or "norm" in name:
        return 1.0
    if name.startswith("decoder.conv_out"):
        return 0.8
    keeps_scale = ("upsamplers.0.conv", "conv_shortcut")
    if any(part in name for part in keeps_scale):
        return 1.0 if name.endswith(".weight") else DECODER_STREAM
    if any(part in name for part in (".to_q.", ".to_k.", ".to_v.")):
        return 1.0
    return DECODER_STREAM


def draw_running_statistics(bn: torch.nn.BatchNorm2d, seed: int) -> None:
    """Variances from 1e-3 on, so that the batch norm's epsilon of 1e-4 counts."""
    generator = torch.Generator().manual_seed(seed)
    bn.running_mean.copy_(0.3 * torch.randn(bn.num_features, generator=generator))
    exponent = torch.rand(bn.num_features, generator=generator) * 3.3 - 3.0
    bn.running_var.copy_(10.0**exponent)
    bn.num_batches_tracked.fill_(1000)


def flatten_rope_theta(path: Path) -> None:
    config = json.loads(path.read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rope_scaling"] = None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
