"""What a person at a terminal of 80 columns sees, looked at through a real one."""

import os
import pty
import re
import sys

from tests.conftest import Cli

SCRIPT = """
from infra.apps.console import ProgressBars
from pipelines.progress import Progress
with ProgressBars() as bars:
    bars(Progress("check", 1, 1, "about 20 s, 1.2 GB of memory"))
    bars(Progress("chunks", 1.5, 8, "chunk 2 of 8, step 13 of 25"))
"""


def test_stage_chunk_step_and_time_left_fit_a_terminal(bare_cli: Cli) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(bare_cli.env, TERM="xterm", COLUMNS="80", LINES="24")
        os.execv(sys.executable, [sys.executable, "-c", SCRIPT])
    shown = b""
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # how a terminal says that its program ended
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    os.waitpid(pid, 0)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "about 20 s, 1.2 GB of memory" in text
    assert re.search(r"Chunks\s.*19%.*left chunk 2 of 8, step 13 of 25", text)
