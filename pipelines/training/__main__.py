"""`python -m pipelines.training FOLDER`: train the demo model from nothing.

Interrupted, the same command goes on where the last saved state is.
"""

import shutil
import sys
from pathlib import Path

import torch

from pipelines.backends.quiet import quiet_libraries
from pipelines.training.assemble import save_checkpoint
from pipelines.training.codec import train_vae
from pipelines.training.dataset import encode_dataset
from pipelines.training.denoiser import Sampler, train_transformer
from pipelines.training.text import train_text


def main(folder: Path) -> None:
    """Text encoder, VAE, latents, transformer, checkpoint; each from its file if it is there."""
    quiet_libraries()
    torch.set_num_threads(2)
    tokenizer, encoder = train_text(folder)
    vae = train_vae(folder)
    sampler = Sampler(encode_dataset(folder, vae, "training"), tokenizer, encoder)
    held = Sampler(encode_dataset(folder, vae, "validation", 0.05), tokenizer, encoder)
    transformer = train_transformer(folder, sampler, held)
    save_checkpoint(folder / "checkpoint", tokenizer, encoder, vae, transformer)
    card = folder / "checkpoint" / "card"
    card.mkdir(exist_ok=True)
    for log in folder.glob("*.jsonl"):
        shutil.copy(log, card)
    print(f"written to {folder / 'checkpoint'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
