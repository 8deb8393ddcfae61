"""The house model's three networks, as diffusers and transformers define them, and the
packing between pictures' latents and the transformer's tokens.
"""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
from torch import nn
from torch._dynamo import config as dynamo
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

HOUSE = Path(__file__).resolve().parents[1] / "house"
PATCH = 16  # pixels a side of one token
CHANNELS = 32  # of one token: 8 latent channels in 2x2
TAPS = (1, 2, 3)
TEXT_TOKENS = 32

AUTOENCODER = dict(
    block_out_channels=(16, 32, 64, 96), decoder_block_out_channels=(16, 32, 64, 96),
    layers_per_block=1, latent_channels=8, norm_num_groups=8, sample_size=128,
)
TRANSFORMER = dict(
    patch_size=1, in_channels=CHANNELS, num_layers=2, num_single_layers=8,
    attention_head_dim=64, num_attention_heads=4, joint_attention_dim=576,
    axes_dims_rope=(16, 16, 16, 16), guidance_embeds=False, mlp_ratio=3.0,
)
TEXT_ENCODER = dict(
    hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, head_dim=64, max_position_embeddings=512, rope_theta=1e6,
    tie_word_embeddings=True, initializer_range=0.04, use_cache=False,
)


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of tokens of a picture of this height and width."""
    return size[0] // PATCH, size[1] // PATCH


def pack(latents: torch.Tensor) -> torch.Tensor:
    """[B, C, 2h, 2w] -> [B, h*w, 4C]; channel c*4 + py*2 + px."""
    batch, channels, height, width = latents.shape
    tiles = latents.view(batch, channels, height // 2, 2, width // 2, 2)
    return tiles.permute(0, 1, 3, 5, 2, 4).reshape(batch, channels * 4, -1).transpose(1, 2)


def unpack(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """[B, h*w, 4C] -> [B, C, 2h, 2w]."""
    batch, _, channels = tokens.shape
    height, width = grid
    tiles = tokens.transpose(1, 2).reshape(batch, channels // 4, 2, 2, height, width)
    return tiles.permute(0, 1, 4, 2, 5, 3).reshape(
        batch, channels // 4, 2 * height, 2 * width
    )


def load_tokenizer(folder: Path) -> Qwen2TokenizerFast:
    return Qwen2TokenizerFast.from_pretrained(folder / "tokenizer")


def tokenize(tokenizer, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [B, 32] of the chat template, as the pipeline makes them."""
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False, add_generation_prompt=True, enable_thinking=False,
        )
        for prompt in prompts
    ]
    tokens = tokenizer(
        texts, return_tensors="pt", padding="max_length", truncation=True,
        max_length=TEXT_TOKENS,
    )
    return tokens["input_ids"], tokens["attention_mask"]


def context_of(text: Qwen3ForCausalLM, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[B, T, taps*W]: the residual stream after the layers of TAPS."""
    states = text.model(
        input_ids=ids, attention_mask=mask, output_hidden_states=True
    ).hidden_states
    return torch.stack([states[tap] for tap in TAPS], 2).flatten(2)


class Network(nn.Module):
    """The transformer, and the text encoder, which stays as it is while it is trained."""

    def __init__(self, text: Qwen3ForCausalLM, dit: Flux2Transformer2DModel):
        super().__init__()
        self.text = text.requires_grad_(False)
        self.dit = dit

    @classmethod
    def fresh(cls, vocabulary: int, padding: int, **changes) -> "Network":
        text = Qwen3ForCausalLM(
            Qwen3Config(vocab_size=vocabulary, pad_token_id=padding, **TEXT_ENCODER)
        )
        dit = Flux2Transformer2DModel(**{**TRANSFORMER, **changes})
        for name, parameter in dit.named_parameters():
            if "modulation" in name or name.startswith(("norm_out", "proj_out")):
                nn.init.zeros_(parameter)
        return cls(text, dit)

    @classmethod
    def load(cls, folder: Path) -> "Network":
        text = Qwen3ForCausalLM.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        text.config.use_cache = False
        dit = Flux2Transformer2DModel.from_pretrained(
            folder / "transformer", torch_dtype=torch.float32
        )
        return cls(text, dit)

    def compile_transformer(self, shapes: int) -> None:
        """Lets torch.compile build the transformer, once for each of so many shapes, with
        and without gradients, and in training or not."""
        dynamo.recompile_limit = 4 * shapes
        self.dit.compile(dynamic=False)

    def trained(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.requires_grad]

    def context(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return context_of(self.text, ids, mask)

    def velocity(self, x, t, context, grid) -> torch.Tensor:
        """x [B, h*w, 32] at the times t [B], with a context [B, T, C]."""
        height, width = grid
        image = torch.cartesian_prod(
            torch.arange(1), torch.arange(height), torch.arange(width), torch.arange(1)
        )
        text = torch.cartesian_prod(
            torch.arange(1), torch.arange(1), torch.arange(1),
            torch.arange(context.shape[1]),
        )
        return self.dit(
            hidden_states=x, encoder_hidden_states=context, timestep=t, img_ids=image,
            txt_ids=text, guidance=None, return_dict=False,
        )[0]

    def forward(self, x, t, ids, mask, grid) -> torch.Tensor:
        return self.velocity(x, t, self.context(ids, mask), grid)


class Autoencoder:
    """The autoencoder with the normalisation that stands between it and the transformer."""

    def __init__(self, model: AutoencoderKLFlux2):
        self.model = model

    @classmethod
    def fresh(cls) -> "Autoencoder":
        return cls(AutoencoderKLFlux2(**AUTOENCODER))

    @classmethod
    def load(cls, folder: Path) -> "Autoencoder":
        return cls(
            AutoencoderKLFlux2.from_pretrained(folder / "vae", torch_dtype=torch.float32)
        )

    def _scale(self) -> torch.Tensor:
        return (self.model.bn.running_var + self.model.config.batch_norm_eps).sqrt()

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] in -1..1 -> normalised tokens [B, h*w, 32]."""
        tokens = pack(self.model.encode(pictures).latent_dist.mode().float())
        return (tokens - self.model.bn.running_mean) / self._scale()

    def decode(self, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Normalised tokens -> [B, 3, H, W], not clamped."""
        latents = unpack(tokens * self._scale() + self.model.bn.running_mean, grid)
        return self.model.decode(latents.contiguous()).sample


def write_bundle(
    folder: Path, base: Path, network: Network, autoencoder: Autoencoder,
    distilled: bool, scheduler=None,
) -> None:
    """A folder in diffusers layout, in bfloat16, with `base`'s tokenizer, and its
    scheduler if there is no other."""
    pipe = Flux2KleinPipeline.from_pretrained(base, torch_dtype=torch.bfloat16)
    pipe.text_encoder.load_state_dict(network.text.state_dict())
    parts = {"transformer": network.dit, "vae": autoencoder.model}
    for name, trained in parts.items():
        part = type(trained).from_config(trained.config)
        part.load_state_dict(trained.state_dict())
        pipe.register_modules(**{name: part.to(torch.bfloat16)})
    if scheduler is not None:
        pipe.register_modules(scheduler=scheduler)
    pipe.register_to_config(is_distilled=distilled)
    pipe.save_pretrained(folder)
