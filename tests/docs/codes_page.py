"""The pages of the gateway's error codes, and of the exit codes of the command line."""

from collections.abc import Iterator

import pipelines.errors
from infra.apps.cli_errors import INTERRUPTED
from infra.apps.gateway.codes import ERROR_CODES
from pipelines.errors import ReelwrightError
from tests.docs.tables import NOTICE, table

_CODES_HEAD = f"""# Error codes of the gateway

{NOTICE}
Every response with a status of 400 or above has a body like this one. `code` is for programs and
does not change; `message` is for people and may change. `run` is the address of the run, if any.

```json
{{"error": {{"code": "model_not_installed", "message": "…", "run": ""}}}}
```

"""
_EXITS_HEAD = f"""# Exit codes

{NOTICE}
Each command of `reelwright` ends with one of these. An error is one line on standard error: what
was found, the rule, the remedy. Finished chunks are kept in all cases.

"""
_MORE = {
    0: "Done. After `make`: the video is published and verified.",
    1: "It failed. The line on standard error says why and what to do. "
    "`doctor`, `verify` and `calendar check` also end so when they have found something.",
    2: "The brief or an option breaks a rule; nothing was started and nothing was written.",
    INTERRUPTED: "Stopped with Ctrl-C; give the same command again to go on.",
}


def text() -> str:
    """The page of the codes."""
    rows = (
        [", ".join(map(str, code.statuses)), f"`{name}`", code.meaning, code.remedy]
        for name, code in sorted(ERROR_CODES.items(), key=lambda item: (item[1].statuses, item[0]))
    )
    return _CODES_HEAD + table(["status", "code", "meaning", "what to do"], rows)


def exit_codes_text() -> str:
    """The page of the exit codes."""
    codes = table(["exit code", "meaning"], ([f"`{code}`", text] for code, text in _MORE.items()))
    errors = table(["error", "exit code", "meaning"], _errors())
    return f"{_EXITS_HEAD}{codes}\n## The errors behind them\n\n{errors}"


def _errors() -> Iterator[list[str]]:
    for name, found in vars(pipelines.errors).items():
        if isinstance(found, type) and issubclass(found, ReelwrightError):
            meaning = (found.__doc__ or "").partition("\n\n")[0]
            yield [f"`{name}`", f"`{found.exit_code}`", meaning]
