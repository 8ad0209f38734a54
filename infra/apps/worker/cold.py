"""Run as `python -m infra.apps.worker.cold`: Prefect's own engine for one flow run, after all code
that it may need was loaded, so that an upgrade meanwhile does not change half of it."""

import runpy

from infra.apps.worker.code import import_everything

if __name__ == "__main__":
    import_everything()
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
