"""What the three trainings share: steps that can be interrupted, a schedule, a log."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

SEED = 20_261_121


def generator(stage: str, step: int) -> np.random.Generator:
    """The random numbers of one step: a resumed run sees the data an uninterrupted one sees."""
    return np.random.default_rng([SEED, *stage.encode(), step])


def schedule(step: int, steps: int, *, warm_up: int = 100, decay: float = 0.35) -> float:
    """Share of the full learning rate: a ramp, a plateau, and a straight line to zero."""
    rising = min(1.0, (step + 1) / warm_up)
    falling = min(1.0, (steps - step) / (steps * decay))
    return rising * falling


class Training:
    """Runs `steps` steps, saving the state now and then; started again, it goes on from there.

    `state` names everything that must survive (modules, optimizers), by `state_dict`.
    """

    def __init__(self, stage: str, folder: Path, steps: int, state: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stage = stage
        self._path = folder / f"{stage}.state.pt"
        self._log = folder / f"{stage}.jsonl"
        self._steps = steps
        self._state = state
        self._first = self._resume()

    def _resume(self) -> int:
        if not self._path.exists():
            return 0
        saved = torch.load(self._path, weights_only=True)
        for name, part in self._state.items():
            part.load_state_dict(saved[name])
        return int(saved["step"])

    def run(
        self,
        do_step: Callable[[int, np.random.Generator], dict[str, float]],
        *,
        every: int,
        validate: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        """Call `do_step(step, rng)` for each step left; validate, log and save `every` steps."""
        sums: dict[str, list[float]] = {}
        start = time.perf_counter()
        for step in range(self._first, self._steps):
            rng = generator(self._stage, step)
            torch.manual_seed(int(rng.integers(2**31)))
            for name, value in do_step(step, rng).items():
                sums.setdefault(name, []).append(value)
            if (step + 1) % every == 0 or step + 1 == self._steps:
                means = {name: round(float(np.mean(values)), 5) for name, values in sums.items()}
                sums.clear()
                self._note(
                    {"step": step + 1, "seconds": round(time.perf_counter() - start, 1)}
                    | means
                    | (validate() if validate else {})
                )
                self._save(step + 1)

    def _note(self, line: dict[str, float]) -> None:
        text = json.dumps(line)
        print(f"{self._stage}: {text}", flush=True)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def _save(self, step: int) -> None:
        part = self._path.with_suffix(".part")
        torch.save(
            {name: item.state_dict() for name, item in self._state.items()} | {"step": step}, part
        )
        part.replace(self._path)


def remember_rates(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Note the rates that the optimizers were made with, for `set_rate`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]


def set_rate(optimizers: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Scale every group's learning rate to `share` of the one it was made with."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share
