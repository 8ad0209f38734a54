"""Writes every page that comes from the code: `python -m tests.docs`, a part of `make docs`."""

from tests.conftest import REPOSITORY
from tests.docs.generated import PAGES


def main() -> None:
    """Write the pages that have changed, and say which."""
    for name, write in PAGES.items():
        path, text = REPOSITORY / name, write()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
