"""Exports a pipeline's text encoder, transformer and decoder to ONNX, with batch and picture
size left open."""

import warnings

import torch
from torch.export import Dim


class Text(torch.nn.Module):
    """The hidden states behind some layers, side by side (Flux2KleinPipeline)."""

    def __init__(self, encoder, taps):
        super().__init__()
        self.encoder, self.taps = encoder, taps

    def forward(self, ids, mask):
        states = self.encoder(
            input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
        ).hidden_states
        return torch.cat([states[tap] for tap in self.taps], dim=-1)


class Velocity(torch.nn.Module):
    def __init__(self, transformer):
        super().__init__()
        self.transformer = transformer

    def forward(self, x, context, t, text_ids, image_ids):
        return self.transformer(
            hidden_states=x,
            timestep=t,
            guidance=None,
            encoder_hidden_states=context,
            txt_ids=text_ids,
            img_ids=image_ids,
            return_dict=False,
        )[0]


class Decoder(torch.nn.Module):
    def __init__(self, autoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, z):
        return self.autoencoder.decode(z, return_dict=False)[0]


def export(pipe, taps, length, folder):
    """Writes text.onnx, velocity.onnx and decoder.onnx."""
    batch, tokens = Dim("batch", min=1, max=64), Dim("tokens", min=1, max=65536)
    height, width = Dim("height", min=2, max=512), Dim("width", min=2, max=512)
    channels = pipe.transformer.config.in_channels
    context = pipe.transformer.config.joint_attention_dim
    # Two tensors, and padding in the mask: what is the same in the examples would be one
    # input, and a mask without padding none.
    ids = torch.arange(2 * length).reshape(2, length)
    mask = (ids % length < length // 2).long()
    graphs = {
        "text": (Text(pipe.text_encoder, taps), {"ids": ids, "mask": mask},
                 {"ids": {0: batch}, "mask": {0: batch}}),
        "velocity": (
            Velocity(pipe.transformer),
            {
                "x": torch.randn(2, 64, channels),
                "context": torch.randn(2, length, context),
                "t": torch.tensor([0.5, 0.5]),
                "text_ids": torch.zeros(2, length, 4),
                "image_ids": torch.zeros(2, 64, 4),
            },
            {"x": {0: batch, 1: tokens}, "context": {0: batch}, "t": {0: batch},
             "text_ids": {0: batch}, "image_ids": {0: batch, 1: tokens}},
        ),
        "decoder": (Decoder(pipe.vae), {"z": torch.randn(2, channels // 4, 16, 18)},
                    {"z": {0: batch, 2: height, 3: width}}),
    }
    for name, (module, inputs, shapes) in graphs.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                folder / f"{name}.onnx",
                dynamo=True,
                input_names=list(inputs),
                dynamic_shapes=shapes,
                verbose=False,
            )
