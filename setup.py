"""Packages of the wheel: those of mocotf, and flags/, which becomes mocotf.recipes."""

import setuptools

setuptools.setup(
    packages=[*setuptools.find_packages(include=["mocotf*"]), "mocotf.recipes"],
    package_dir={"mocotf.recipes": "flags"},
    package_data={
        "mocotf": ["py.typed"],
        "mocotf.recipes": ["*.cfg"],
        "mocotf.reporting": ["web/*"],
    },
)
