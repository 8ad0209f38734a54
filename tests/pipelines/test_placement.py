"""llama.cpp's own log says where a model lies."""

from pathlib import Path

import pytest

from pipelines.prompting.llama import LlamaEnhancer, LlamaOptions
from pipelines.prompting.llama_child import LoadLog
from pipelines.prompting.placement import Placement
from tests.support.tiny_gguf import write_tiny_mistral

DEBUG, INFO, ERROR, CONTINUED = 1, 2, 4, 5
ON_GPU = [
    (
        INFO,
        "llama_prepare_model_devices: using device CUDA0 (NVIDIA GeForce RTX 5090) (0000:01:00.0)",
    ),
    (CONTINUED, " - 31000 MiB free\n"),
    *(
        (DEBUG, f"load_tensors: layer {n:3} assigned to device CUDA0, is_swa = 0\n")
        for n in range(33)
    ),
    (INFO, "load_tensors: offloaded 33/33 layers to GPU\n"),
    (INFO, "load_tensors:   CPU_Mapped model buffer size =    70.31 MiB\n"),
    (INFO, "load_tensors:        CUDA0 model buffer size =  4095.00 MiB\n"),
    (INFO, "llama_context:  CUDA_Host  output buffer size =     0.12 MiB\n"),
    (INFO, "llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB\n"),
    (INFO, "sched_reserve:      CUDA0 compute buffer size =    81.00 MiB\n"),
]
NO_DEVICE = [
    (ERROR, "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected\n"),
    *(
        (DEBUG, f"load_tensors: layer {n:3} assigned to device CPU, is_swa = 0\n")
        for n in range(33)
    ),
    (INFO, "load_tensors: offloaded 33/33 layers to GPU\n"),
    (INFO, "load_tensors:   CPU_Mapped model buffer size =  4165.37 MiB\n"),
]


def placement_of(lines: list[tuple[int, str]], *, has_cuda: bool) -> Placement:
    log = LoadLog()
    for level, text in lines:
        log.add(level, text.encode())
    return Placement.of({"has_cuda": has_cuda, **log.report()})


def test_layers_and_bytes_on_the_gpu_are_those_of_the_log() -> None:
    placement = placement_of(ON_GPU, has_cuda=True)
    assert (placement.on_gpu, placement.total) == (33, 33)
    assert placement.gpu_bytes == (4095 + 512 + 81) * 2**20
    assert placement.why_not_on_gpu == ""
    assert str(placement).startswith(
        "33 of 33 layers on CUDA0 (NVIDIA GeForce RTX 5090, 4,916 MB), loaded in "
    )


def test_layers_that_were_asked_for_are_not_taken_for_layers_on_a_gpu(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """llama.cpp logs "offloaded 33/33" for a number of layers, whether there is a device or not."""
    placement = placement_of(NO_DEVICE, has_cuda=True)
    assert (placement.on_gpu, placement.gpu_bytes) == (0, 0)
    assert "no CUDA-capable device" in placement.why_not_on_gpu
    assert "nvidia-smi" in placement.why_not_on_gpu
    assert "no CUDA-capable device" in capsys.readouterr().err


def test_a_part_of_the_layers_is_counted_as_a_part() -> None:
    lines = [*ON_GPU[:21], *NO_DEVICE[21:34], *ON_GPU[35:]]
    placement = placement_of(lines, has_cuda=True)
    assert dict(placement.layers) == {"CUDA0": 19, "CPU": 13}
    assert placement.why_not_on_gpu == ""
    assert "13 of 32 layers on CPU" in str(placement)


def test_a_build_without_cuda_names_its_remedy() -> None:
    assert placement_of(NO_DEVICE[1:], has_cuda=False).why_not_on_gpu.endswith("run: make studio")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_mistral(path)
    return path


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """For machines that have one: what is said there depends on the build."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_a_real_load_says_where_the_model_lies(tiny: Path) -> None:
    with LlamaEnhancer(tiny, "tiny", "instruct", LlamaOptions()) as enhancer:
        placement = enhancer.load()
        assert enhancer.load() is placement
    assert dict(placement.layers) == {"CPU": 3}
    assert sum(placement.sizes.values()) > tiny.stat().st_size / 2
    assert enhancer.notice == ""


def test_a_model_that_should_be_on_the_gpu_and_is_not_says_so(tiny: Path) -> None:
    with LlamaEnhancer(tiny, "tiny", "instruct", LlamaOptions(gpu_layers=-1)) as enhancer:
        assert enhancer.notice == ""
        enhancer.load()
        assert "ran on the CPU beside a GPU" in enhancer.notice
        assert enhancer.notice.endswith("run: make studio")


def context_bytes(tiny: Path, options: LlamaOptions) -> int:
    """Bytes of everything but the weights, which are the same for all options."""
    with LlamaEnhancer(tiny, "tiny", "instruct", options) as enhancer:
        return sum(enhancer.load().sizes.values())


def test_context_and_batch_and_their_numbers_decide_the_memory(tiny: Path) -> None:
    full = context_bytes(tiny, LlamaOptions())
    assert context_bytes(tiny, LlamaOptions(context=1024)) < full
    assert context_bytes(tiny, LlamaOptions(batch=64)) < full
    assert context_bytes(tiny, LlamaOptions(kv_cache="q8_0")) < full
