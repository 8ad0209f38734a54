"""The project's own check on a GPU: speed and memory of its classes at their real sizes.

    python -m tests.gpu                # everything, most important first, about ten minutes
    python -m tests.gpu --tiny         # the same code on a CPU with tiny models, some seconds
    python -m tests.gpu --stages host,weights,presets,stock --budget 400 --out results

Weights are random and made on the spot: neither speed nor memory depends on their values. All
calls into the project are in `product.py`; what it is compared with is in `stock.py`. It needs
torch, diffusers, transformers, accelerate, safetensors, spandrel and what the project's settings
are read with; `pack.sh` collects what a machine without network lacks.
"""
