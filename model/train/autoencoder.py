"""`autoencoder`: trains the decoder while the encoder stays, or both from nothing.

With the encoder unchanged, latents, and so the flow, stay valid. The loss is L1, its
gradients and the logarithm of each picture's mean squared error, whose mean is what PSNR
measures; a little noise on the latents stands for the errors of a flow.
"""

import random
from pathlib import Path

import torch

from .drawings import SIZES, Drawings, picture_sheet
from .latents import Latents
from .network import CHANNELS, Autoencoder, grid_of, pack
from .run import Average, Run, autocast, save_atomically

# Whole pictures: the middle attention and the group norms see all of one.
SIZE_WEIGHTS = (8, 1, 2, 1, 1, 1, 0, 0)
PIXELS = 16 * 128 * 128  # a step's
LATENT_NOISE = 0.05
KL_WEIGHT = 3e-4
EVERY = 500  # steps between measurements
MEASURED = (128, 128)


def loss_of(output: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    error = output.float() - pictures
    across = error[..., 1:] - error[..., :-1]
    down = error[..., 1:, :] - error[..., :-1, :]
    squares = error.square().mean((1, 2, 3))
    return (
        error.abs().mean() + 0.5 * (across.abs().mean() + down.abs().mean())
        + 0.1 * (squares + 1e-5).log().mean()
    )


def psnr(output: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """[B] in dB, for a range of 2 (-1..1)."""
    squares = (output.float().clamp(-1, 1) - pictures).square().mean((1, 2, 3))
    return -10 * (squares / 4).clamp_min(1e-10).log10()


@torch.no_grad()
def held_out_psnr(autoencoder, drawings: Drawings, size, limit=None) -> float:
    """The mean over held-out drawings of the PSNR of a picture, in float32."""
    autoencoder.model.eval()
    indices = drawings.held_out[:limit]
    parts = []
    for start in range(0, len(indices), 32):
        pictures = drawings.pictures(indices[start : start + 32], size)
        output = autoencoder.decode(autoencoder.encode(pictures), grid_of(size))
        parts.append(psnr(output, pictures))
    return torch.cat(parts).mean().item()


class Training:
    def __init__(self, work: Path, base: Path, from_nothing: bool, rate: float):
        self.path = work / "autoencoder.pt"
        self.drawings = Drawings(work)
        saved = torch.load(self.path, weights_only=True) if self.path.is_file() else None
        if saved is not None:
            from_nothing = saved["encoder_too"]
        self.encoder_too = from_nothing
        self.autoencoder = Autoencoder.fresh() if from_nothing else Autoencoder.load(base)
        self.model = self.autoencoder.model.to(memory_format=torch.channels_last)
        parts = [self.model.decoder, self.model.post_quant_conv]
        if from_nothing:
            parts += [self.model.encoder, self.model.quant_conv]
        self.parameters = [p for part in parts for p in part.parameters()]
        self.rate = rate
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
        )
        self.average = Average(self.parameters, 0.999)
        self.step = 0
        if saved is not None:
            self._resume(saved)
        self.latents = None if self.encoder_too else Latents(self.drawings, self.autoencoder)

    def _resume(self, saved: dict) -> None:
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.shadow = saved["average"]
        self.step = saved["step"]
        print(f"resumed at step {self.step}")

    def save(self) -> None:
        if self.encoder_too:
            self.normalise()
        value = {
            "encoder_too": self.encoder_too, "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(), "average": self.average.shadow,
            "step": self.step,
        }
        save_atomically(value, self.path)

    def learn(self) -> float:
        size = random.choices(SIZES, SIZE_WEIGHTS)[0]
        count = max(2, PIXELS // (size[0] * size[1]))
        indices = self.drawings.draw(count)
        mirror = (torch.rand(count) < 0.5) & self.drawings.mirrored[indices]
        pictures = self.drawings.pictures(indices.tolist(), size, mirror.tolist())
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        self.model.train()
        extra = 0.0
        with autocast():
            if self.encoder_too:
                latent = self.model.encode(pictures).latent_dist
                extra = KL_WEIGHT * latent.kl().mean() / latent.mean[0].numel()
                output = self.model.decode(latent.sample()).sample
            else:
                tokens = self.latents.tokens(indices, size, mirror)
                spread = LATENT_NOISE * torch.rand(count, 1, 1)
                tokens = tokens + spread * torch.randn_like(tokens)
                output = self.autoencoder.decode(tokens, grid_of(size))
        loss = loss_of(output, pictures) + extra
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        self.average.update(self.step)
        return psnr(output.detach(), pictures).mean().item()

    def measure(self, limit: int | None = 96) -> float:
        self.average.swap()
        value = held_out_psnr(self.autoencoder, self.drawings, MEASURED, limit)
        self.average.swap()
        return value

    @torch.no_grad()
    def sheet(self) -> None:
        self.average.swap()
        pictures = self.drawings.pictures(self.drawings.held_out[:12], MEASURED)
        tokens = self.autoencoder.encode(pictures)
        output = self.autoencoder.decode(tokens, grid_of(MEASURED))
        self.average.swap()
        picture_sheet([pictures, output], self.path.parent / "samples/autoencoder.png")

    @torch.no_grad()
    def normalise(self) -> None:
        """Sets the normalisation of a new encoder to its latents' mean and variance."""
        self.average.swap()
        self.model.eval()
        tokens = [
            pack(self.model.encode(self.drawings.pictures(part, MEASURED)).latent_dist.mode())
            for part in torch.from_numpy(self.drawings.train[:2048]).split(64)
        ]
        self.average.swap()
        tokens = torch.cat(tokens).reshape(-1, CHANNELS)
        self.model.bn.running_mean.copy_(tokens.mean(0))
        self.model.bn.running_var.copy_(tokens.var(0))


def train(work: Path, base: Path, minutes: float, from_nothing: bool, rate: float) -> None:
    training = Training(work, base, from_nothing, rate)
    run = Run("autoencoder", minutes, training.save)
    print(f"held-out PSNR before: {training.measure(None):.2f} dB", flush=True)
    for count in run.steps():
        warm = min(1.0, (count + 1) / 100)
        cool = min(1.0, max(0.01, (1 - run.share) / 0.4))
        for group in training.optimizer.param_groups:
            group["lr"] = training.rate * warm * cool
        run.show(psnr=training.learn(), step=str(training.step))
        if training.step % EVERY == 0:
            run.show(held_out=f"{training.measure():.2f}")
            training.sheet()
    training.sheet()
    print(f"held-out PSNR after: {training.measure(None):.2f} dB")


def trained(work: Path, base: Path) -> Autoencoder:
    """The average of the work folder's training, or `base`'s autoencoder."""
    autoencoder = Autoencoder.load(base)
    path = work / "autoencoder.pt"
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        model = autoencoder.model
        model.load_state_dict(saved["model"])
        parts = [model.decoder, model.post_quant_conv]
        if saved["encoder_too"]:
            parts += [model.encoder, model.quant_conv]
        with torch.no_grad():
            parameters = [p for part in parts for p in part.parameters()]
            for parameter, value in zip(parameters, saved["average"], strict=True):
                parameter.copy_(value)
    return autoencoder
