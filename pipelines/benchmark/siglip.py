"""SigLIP 2: how well the frames of a video match its prompt, as a cosine.

It runs on the CPU in float32: the score is then the same on every machine, and the GPU's memory
stays free. Cosines of SigLIP are small: unrelated texts are near 0, and only differences between
videos of the same prompt mean something.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.backends.base import Frame
from pipelines.errors import WeightsError

MODEL = "siglip2-base"
"""Its name in the catalog."""
_TOKENS = 64
"""Length to which texts are filled up: SigLIP was trained so, and other lengths give other
vectors (transformers' documentation of SigLIP 2)."""


class SiglipScorer:
    """The loaded model. Raises WeightsError if its files do not load."""

    def __init__(self, folder: Path, title: str) -> None:
        """`folder` holds the model, its tokenizer and its picture processor."""
        import torch
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        self._title = title
        local: dict[str, Any] = {"local_files_only": True}
        try:
            self._model = AutoModel.from_pretrained(folder, dtype=torch.float32, **local).eval()
            self._tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            self._pictures = AutoImageProcessor.from_pretrained(folder, **local)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(
                f"{title} in {folder} does not load ({error}); run: reelwright models verify "
                f"{MODEL}"
            ) from error

    @property
    def name(self) -> str:
        return self._title

    def score(self, prompt: str, frames: Sequence[Frame]) -> float:
        """Mean cosine between the text and each frame, -1 to 1."""
        import torch

        with torch.inference_mode():
            words = self._tokenizer(
                [prompt.lower()],  # it was trained on lower-case texts
                padding="max_length",
                max_length=_TOKENS,
                truncation=True,
                return_tensors="pt",
            )
            pictures = self._pictures(images=list(frames), return_tensors="pt")
            text = _vectors(self._model.get_text_features(input_ids=words["input_ids"]))
            shown = _vectors(self._model.get_image_features(**pictures))
            cosines = torch.nn.functional.cosine_similarity(shown, text)
        return float(np.mean(cosines.numpy()))


def _vectors(found: Any) -> Any:
    """transformers 5 returns an output whose pooled vectors are the features; 4 returned them."""
    return getattr(found, "pooler_output", found)
