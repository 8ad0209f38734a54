"""The memory of a language model is its file, its context and its buffers."""

import struct
from pathlib import Path

import gguf
import pytest

from pipelines.errors import WeightsError
from pipelines.prompting.footprint import writer_footprint
from tests.support.installed import folder_of
from tests.support.tiny_gguf import HEADS, LAYERS, WIDTH, write_tiny_mistral

MIB = 2**20


def header(path: Path, *, tokens: int = 100) -> Path:
    """The header of a model with the layers of Mistral 7B, without its tensors."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_array("general.tags", ["a", "list"])
    writer.add_block_count(32)
    writer.add_embedding_length(4096)
    writer.add_head_count(32)
    writer.add_head_count_kv(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list([f"t{number}" for number in range(tokens)])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_the_context_of_mistral_7b_is_half_a_gigabyte_for_4096_tokens(tmp_path: Path) -> None:
    """2 x 32 layers x 8 heads x 128 numbers of 2 bytes a token."""
    model = header(tmp_path / "mistral.gguf")
    found = writer_footprint(model, context=4096)
    assert found.context == 131_072 * 4096
    assert found.weights == model.stat().st_size
    assert writer_footprint(model, context=2048).context == found.context // 2
    assert found.total == found.weights + found.context + found.compute


def test_the_buffers_hold_the_scores_of_a_pass_or_its_words(tmp_path: Path) -> None:
    model = header(tmp_path / "few.gguf")
    scores, hidden = 33 * 2048 * 512 * 4, 4 * 4096 * 512 * 4
    assert writer_footprint(model, context=2048).compute == scores + hidden == 164 * MIB
    assert writer_footprint(model, context=2048, batch=256).compute == 82 * MIB
    flash = writer_footprint(model, context=2048, cache_bits=8.5, flash=True)
    assert flash.compute == 2048 * 512 * 4 + hidden
    assert flash.context == 131_072 * 2048 * 8.5 / 16
    words = header(tmp_path / "many.gguf", tokens=70_000)
    assert writer_footprint(words, context=2048).compute == 70_000 * 512 * 4 + hidden


def test_it_agrees_with_what_llama_cpp_says_of_the_tiny_model(tmp_path: Path) -> None:
    """Logged by llama.cpp on a CPU: keys and values 1.00 MiB, buffers 20.88 MiB."""
    model = tmp_path / "tiny.gguf"
    write_tiny_mistral(model)
    found = writer_footprint(model, context=2048)
    assert found.context == MIB == 2 * LAYERS * 2048 * WIDTH * 2
    assert found.compute == pytest.approx(20.88 * MIB, rel=0.03)
    assert HEADS == 4


def test_it_agrees_with_what_llama_cpp_says_of_the_demo_s_model(demo_models: Path) -> None:
    """Logged by llama.cpp on a CPU: keys and values 36 MiB, buffers 514.50 MiB."""
    found = writer_footprint(folder_of(demo_models, "gemma-3-270m") / "model.gguf", context=2048)
    assert found.context == 36 * MIB
    assert found.compute == pytest.approx(514.5 * MIB, rel=0.01)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>no model</html>",
        b"GGUF" + struct.pack("<IQQ", 3, 0, 5),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 0),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60),
    ],
    ids=["empty", "a page", "cut", "without lengths", "absurd"],
)
def test_a_file_without_a_header_is_refused(tmp_path: Path, content: bytes) -> None:
    model = tmp_path / "x.gguf"
    model.write_bytes(content)
    with pytest.raises(WeightsError, match=r"header of .* download the model again"):
        writer_footprint(model, 2048)
