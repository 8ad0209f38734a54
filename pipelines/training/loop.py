"""What the trainings share: steps that can be interrupted, a schedule, a log."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

SEED = 20_261_121
TIMED = 40
"""Steps after which the number of steps is fixed where minutes are given."""
_SAVE_SECONDS = 120.0
_PATIENCE = 600.0


def generator(stage: str, step: int) -> np.random.Generator:
    """The random numbers of one step: a resumed run sees the data an uninterrupted one sees."""
    return np.random.default_rng([SEED, *stage.encode(), step])


def schedule(
    step: int,
    steps: int,
    *,
    warm_up: int = 100,
    decay: float = 0.35,
    progress: float | None = None,
) -> float:
    """Share of the full learning rate: a ramp, a plateau, and a straight line to zero.

    The line is drawn over the steps, or over the `progress` of another measure from 0 to 1.
    """
    done = step / steps if progress is None else min(1.0, progress)
    rising = min(1.0, (step + 1) / warm_up)
    falling = min(1.0, (1 - done) / decay)
    return rising * falling


class Training:
    """Runs steps, saving the state now and then; started again, it goes on from there.

    `state` names everything that must survive (modules, optimizers), by `state_dict`. The number
    of steps is given, or found from `minutes`: the first steps are timed, and the number that
    they allow is saved with the state, so that a resumed run has the same schedule. With
    `by_clock` the schedule follows the time itself: the stage ends when its minutes are over,
    also where other work slows it, and a resumed run goes on with the minutes that were left.
    """

    def __init__(
        self,
        stage: str,
        folder: Path,
        steps: int | None,
        state: dict[str, Any],
        *,
        minutes: float = 0.0,
        by_clock: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stage = stage
        self._path = folder / f"{stage}.state.pt"
        self._log = folder / f"{stage}.jsonl"
        self._steps = steps
        self._minutes = minutes
        self._state = state
        self._by_clock = by_clock and steps is None
        self._spent = 0.0
        self._first = self._resume()
        self._began = self._saved = time.perf_counter()

    def _resume(self) -> int:
        if not self._path.exists():
            return 0
        saved = torch.load(self._path, weights_only=True, map_location="cpu")
        for name, part in self._state.items():
            part.load_state_dict(saved[name])
        if self._steps is None and saved["steps"] is not None:
            self._steps = int(saved["steps"])
        self._spent = float(saved.get("spent", 0.0))
        return int(saved["step"])

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self._is_over(self._first)

    def rate(self, step: int) -> float:
        """Share of the full learning rate at `step`."""
        if self._by_clock:
            return schedule(step, 1, progress=self._progress())
        # While the steps are timed their number is open, and the rate only rises.
        return schedule(step, self._steps or 100 * TIMED)

    def run(
        self,
        do_step: Callable[[int, np.random.Generator], dict[str, Any]],
        *,
        every: int,
        validate: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        """Call `do_step(step, rng)` for each step left; validate, log and save `every` steps.

        What `do_step` returns is averaged. On a GPU it returns tensors: asking for their values
        at every step would make the processor wait for the card.
        """
        sums: dict[str, list[Any]] = {}
        start = self._began = time.perf_counter()
        durations: list[float] = []
        step = self._first
        while not self._is_over(step):
            rng = generator(self._stage, step)
            torch.manual_seed(int(rng.integers(2**31)))
            began = time.perf_counter()
            for name, value in do_step(step, rng).items():
                sums.setdefault(name, []).append(value)
            durations.append(time.perf_counter() - began)
            step += 1
            if self._by_clock:
                durations.clear()
                if self._progress() >= 1:
                    self._steps = step
            elif self._steps is None and step == TIMED:
                self._steps = self._affordable(durations)
                self._save(step)
            if step % every == 0 or step == self._steps:
                means = {
                    name: round(float(np.mean([float(value) for value in values])), 5)
                    for name, values in sums.items()
                }
                sums.clear()
                self._note(
                    {"step": step, "seconds": round(time.perf_counter() - start, 1)}
                    | means
                    | (validate() if validate else {})
                )
                self._save(step)
            elif time.perf_counter() - self._saved > _SAVE_SECONDS and (
                self._by_clock or self._steps is not None
            ):
                self._save(step)
        self._first = step

    def _is_over(self, step: int) -> bool:
        return self._steps is not None and step >= self._steps

    def _took(self) -> float:
        return time.perf_counter() - self._began

    def _progress(self) -> float:
        """Share of the minutes that is over."""
        return (self._spent + self._took()) / (60 * self._minutes)

    def _affordable(self, durations: list[float]) -> int:
        """Steps that fit in the minutes; the slowest tenth, which compiled, does not count."""
        usual = float(np.mean(sorted(durations)[: len(durations) * 9 // 10]))
        return max(2 * TIMED, int(60 * self._minutes / usual))

    def _note(self, line: dict[str, float]) -> None:
        text = json.dumps(line)
        print(f"{self._stage}: {text}", flush=True)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def _save(self, step: int) -> None:
        part = self._path.with_suffix(".part")
        torch.save(
            {name: item.state_dict() for name, item in self._state.items()}
            | {"step": step, "steps": self._steps, "spent": self._spent + self._took()},
            part,
        )
        part.replace(self._path)
        self._saved = time.perf_counter()


def wait_for(folder: Path, stage: str) -> dict[str, Any]:
    """The state of a finished stage, on the CPU. Another process may be training it.

    Raises TimeoutError when no state of the folder was saved for _PATIENCE seconds.
    """
    path = folder / f"{stage}.state.pt"
    begun, told = time.time(), False
    while True:
        if path.exists():
            saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
            if saved["steps"] is not None and saved["step"] >= saved["steps"]:
                return saved
        if not told:
            print(f"waiting for {stage}, which another process trains", flush=True)
            told = True
        newest = max((p.stat().st_mtime for p in folder.glob("*.state.pt")), default=0.0)
        if time.time() - max(begun, newest) > _PATIENCE:
            raise TimeoutError(f"{stage} is not trained in {folder}, and nobody trains there")
        time.sleep(1)


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


def descend(
    loss: torch.Tensor,
    parameters: Iterable[torch.Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    """One step of the optimizers. A gradient longer than 1 is shortened to 1."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optimizers:
        optimizer.step()
