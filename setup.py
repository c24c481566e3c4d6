"""Finds the packages: the folder of the project is the package `callboard` itself.

Setuptools finds packages below a folder, but cannot give that folder's own the name of a package.
Everything else is in pyproject.toml.
"""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

NOT_SHIPPED = ("tests", "bench", "docs", "build", "dist")


class WithoutThisFile(build_py):
    """Packs every module of the root but the one that only builds."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """The (package, module, file) of each."""
        modules = super().find_package_modules(package, package_dir)
        return [found for found in modules if found[:2] != ("callboard", "setup")]


below = find_packages(exclude=[pattern for name in NOT_SHIPPED for pattern in (name, f"{name}.*")])
setup(
    packages=["callboard", *(f"callboard.{name}" for name in below)],
    cmdclass={"build_py": WithoutThisFile},
)
