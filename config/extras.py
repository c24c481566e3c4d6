"""How to install the libraries that only some settings need."""


def installing(extra: str) -> str:
    """The command for an extra of pyproject.toml; Callboard is on no package index yet."""
    return f"pip install '.[{extra}]' in a checkout of Callboard"
