"""The command `reelwright`. Heavy libraries load only in the command that needs them."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.adapters.quiet import set_quiet
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODEL_SETS
from infra.apps.backup.commands import backup, restore
from infra.apps.commands import adopt_studio, calendar_app, hooks_app, keys_app, reach_studio
from infra.apps.console import plain, say
from infra.apps.guard import run_guarded
from infra.apps.upkeep import retention_app, verify
from pipelines.errors import BriefError, SettingsError, WeightsError
from pipelines.schema.parsing import parse_brief
from pipelines.schema.presets import PRESETS, SIZES
from pipelines.schema.shots import PICK

app = typer.Typer(
    help="Turns a brief into a finished short video on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="The model sets: demo and studio.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")
app.add_typer(calendar_app, name="calendar")
app.add_typer(hooks_app, name="hooks")
app.add_typer(retention_app, name="retention")
app.command()(verify)
app.command()(backup)
app.command()(restore)


@app.command()
def make(
    prompt: Annotated[str, typer.Argument(help="The brief: what the video shows.")],
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "demo",
    seconds: Annotated[float | None, typer.Option(help="Length of the video.")] = None,
    seed: Annotated[int, typer.Option(help="A take to repeat; -1: from the brief.")] = PICK,
    upscale: Annotated[int, typer.Option(help="1, 2 or 4.")] = 1,
    size: Annotated[str, typer.Option(help=f"One of {', '.join(SIZES)}.")] = "preset",
    aspect: Annotated[str, typer.Option(help="landscape, portrait or square.")] = "preset",
    image: Annotated[bool, typer.Option(help="A single picture.")] = False,
    frames: Annotated[int, typer.Option(help="Frames a chunk, 4k+1; -1: the preset's.")] = PICK,
    steps: Annotated[int, typer.Option(help="Denoising steps; -1: the preset's.")] = PICK,
    guidance: Annotated[float, typer.Option(help="Guidance; -1: the preset's.")] = float(PICK),
    joins: Annotated[str, typer.Option(help="How shots meet: cut, continue, crossfade.")] = "cut",
    style: Annotated[str, typer.Option(help="Added to every shot.")] = "",
    negative: Annotated[str, typer.Option(help="What must not be seen.")] = "",
    enhance: Annotated[bool, typer.Option(help="Let the writer expand the brief.")] = True,
    shot_seed: Annotated[
        list[str] | None, typer.Option(help="SHOT=SEED: another take of one shot.")
    ] = None,
    shot_prompt: Annotated[
        list[str] | None, typer.Option(help="SHOT=WORDS: other words for one shot.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Copy the video here, poster (.jpg) and manifest (.json) beside it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
) -> None:
    """Make one video from start to published, and print where it lies."""
    values: dict[str, Any] = {
        "prompt": prompt,
        "preset": preset,
        "seed": seed,
        "upscale": upscale,
        "size": size,
        "aspect": aspect,
        "kind": "image" if image else "video",
        "frames": frames,
        "steps": steps,
        "guidance": guidance,
        "joins": joins,
        "style": style,
        "negative": negative,
        "enhance": enhance,
        "shots": _overrides(shot_seed or [], shot_prompt or []),
    }
    if seconds is not None:
        values["seconds"] = seconds
    brief = parse_brief(values)

    from infra.apps import make as maker

    manifest = maker.make(brief, out)
    if as_json:
        sys.stdout.write(manifest.model_dump_json(indent=1) + "\n")
        say(maker.summary(manifest, out))
    else:
        sys.stdout.write(plain(maker.summary(manifest, out)) + "\n")


@models_app.command("list")
def models_list() -> None:
    """Show the model sets and which of their models are installed."""
    from infra.adapters.weights.index import read_index
    from infra.adapters.weights.library import folder_of

    folder = Settings.load().paths.models
    for model_set in MODEL_SETS.values():
        sys.stdout.write(f"{model_set.name}: {model_set.title}\n")
        for model in model_set.models:
            index = read_index(folder_of(folder, model_set.name, model.role))
            state = f"{index.size_of() / 1e6:,.0f} MB" if index else "not installed"
            line = f"  {model.role:<9} {model.name} ({model.licence}): {state}\n"
            sys.stdout.write(line)


@models_app.command("download")
def models_download(name: Annotated[str, typer.Argument(help="demo or studio")]) -> None:
    """Install a model set; what is there and intact is left alone."""
    from infra.apps.install import install

    install(Settings.load().paths.models, _model_set(name), say)


@models_app.command("verify")
def models_verify(
    name: Annotated[str | None, typer.Argument(help="demo or studio; all if left out")] = None,
) -> None:
    """Hash every file of the installed models against their index."""
    from infra.adapters.weights.index import faults, read_index
    from infra.adapters.weights.library import folder_of

    folder, wrong, seen = Settings.load().paths.models, 0, 0
    for model_set in [_model_set(name)] if name else list(MODEL_SETS):
        for model in MODEL_SETS[model_set].models:
            place = folder_of(folder, model_set, model.role)
            index = read_index(place)
            if index is None:
                say(f"{model_set} {model.role}: not installed")
                wrong += name is not None
                continue
            seen += len(index.files)
            for file, fault in faults(place, index, everything=True):
                wrong += 1
                say(f"{place / file} {fault}; run: reelwright models download {model_set}")
    if not seen and not wrong:
        raise WeightsError("no model is installed; run: reelwright models download demo")
    if wrong:
        raise typer.Exit(1)
    sys.stdout.write(f"{seen} files are what they were when installed\n")


@app.command()
def doctor() -> None:
    """Check what a run needs and say what to do about what is missing."""
    from infra.apps.doctor import examine

    failed = False
    for finding in examine(Settings.load()):
        mark = "ok  " if finding.good else ("FAIL" if finding.needed else "--  ")
        sys.stdout.write(plain(f"{mark} {finding.name:<14} {finding.text}") + "\n")
        failed |= finding.needed and not finding.good
    if failed:
        raise typer.Exit(1)


@app.command()
def up(
    parts: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="Only this part, repeatable: store, database, server, studio, rtx-5090, gateway. "
            "What is left out runs elsewhere and is named by its setting.",
        ),
    ] = None,
    cold: Annotated[bool, typer.Option(help="A new process for each run on the GPU.")] = False,
) -> None:
    """Run the whole studio on this machine until Ctrl-C."""
    from infra.apps.studio.up import PARTS
    from infra.apps.studio.up import up as start

    for part in parts or ():
        if part not in PARTS:
            raise BriefError(f"--with {part!r} is unknown; choose of {', '.join(PARTS)}")
    start(Settings.load(), parts or PARTS, cold=cold)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show pools, queues, the run on the GPU and the last errors."""
    reach_studio()
    from infra.apps.studio.status import status as look

    found = look(Settings.load())
    sys.stdout.write((found.as_json() if as_json else plain(found.as_text())) + "\n")


@app.command()
def deploy() -> None:
    """Bring the Prefect server to what this version needs: pools, limits, deployments."""
    reach_studio()
    from infra.apps.studio.deploy import deploy as bring

    sys.stdout.write("\n".join(bring()) + "\n")


@app.command()
def worker(
    pool: Annotated[str, typer.Argument(help="studio or rtx-5090")],
    cold: Annotated[bool, typer.Option(help="A new process for each run.")] = False,
    limit: Annotated[
        int, typer.Option(min=0, help="Runs at once in the studio pool; 0: as its queues have.")
    ] = 0,
    name: Annotated[str, typer.Option(help="Of this worker; it mends what it left.")] = "",
) -> None:
    """Serve a pool until SIGTERM or Ctrl-C."""
    from infra.apps.worker.main import GPU_POOL, STUDIO_POOL, serve

    if pool not in (GPU_POOL, STUDIO_POOL):
        raise BriefError(f"pool {pool!r} is unknown; choose {STUDIO_POOL} or {GPU_POOL}")
    adopt_studio()
    serve(pool, cold=cold, limit=limit, name=name)


@app.command()
def gateway() -> None:
    """Serve the REST API, the webhooks and the page to watch until Ctrl-C."""
    adopt_studio()
    from infra.apps.gateway.main import serve

    serve(Settings.load())


@app.command()
def login(
    token: Annotated[
        bool, typer.Option("--token", help="Print the operator's key instead, for curl.")
    ] = False,
) -> None:
    """Print a link that logs a browser in to the gateway as its operator, once."""
    from infra.apps.gateway.database import opened
    from infra.apps.gateway.sessions import new_link
    from infra.apps.studio import environment

    settings = adopt_studio()
    if token:
        known = environment.read(settings).get(environment.TOKEN, "")
        key = settings.gateway.token.get_secret_value() or known
        if not key:
            raise SettingsError(
                f"no studio was started in {settings.paths.data_dir}, so there is no token; start "
                "`reelwright up`, or set REELWRIGHT_DATA_DIR or REELWRIGHT_GATEWAY_TOKEN"
            )
        sys.stdout.write(f"{key}\n")
        return
    with opened(settings.paths.data_dir) as database:
        sys.stdout.write(new_link(database, environment.gateway_address(settings)) + "\n")
    say("it works once, within 15 minutes, and keeps a browser logged in for seven days")


def _model_set(name: str) -> str:
    if name not in MODEL_SETS:
        raise BriefError(f"model set {name!r} is unknown; choose one of {', '.join(MODEL_SETS)}")
    return name


def _overrides(seeds: list[str], prompts: list[str]) -> list[dict[str, Any]]:
    shots: dict[int, dict[str, Any]] = {}
    for option, field, items in (("seed", "seed", seeds), ("prompt", "prompt", prompts)):
        for item in items:
            number, separator, value = item.partition("=")
            if not (separator and number.isdecimal()):
                raise BriefError(
                    f"--shot-{option} {item!r}: write SHOT={option.upper()}, as in 2=…"
                )
            shots.setdefault(int(number), {"shot": int(number)})[field] = value
    return list(shots.values())


def main() -> None:
    """Entry point of the command `reelwright`."""
    set_quiet()
    run_guarded(app)


if __name__ == "__main__":
    main()
