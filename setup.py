"Installation, read from settings.ini so that nbdev and pip agree."
from configparser import ConfigParser
from setuptools import find_packages, setup

cfg = ConfigParser()
cfg.read("settings.ini", encoding="utf-8")
cfg = cfg["DEFAULT"]

setup(
    name=cfg["lib_name"], version=cfg["version"], description=cfg["description"], keywords=cfg["keywords"],
    author=cfg["author"], license="Apache-2.0",
    long_description=open("README.md", encoding="utf-8").read(), long_description_content_type="text/markdown",
    packages=find_packages(include=["biggan_colorize*"]), python_requires=">=" + cfg["min_python"],
    package_data={"biggan_colorize": ["weights/*", "*.txt", "*.js"]},
    install_requires=cfg["requirements"].split(),
    extras_require={extra: cfg[f"{extra}_requirements"].split() for extra in ("dev", "docs")},
    entry_points={"console_scripts": cfg["console_scripts"].split()},
    classifiers=["License :: OSI Approved :: Apache Software License", "Programming Language :: Python :: 3"],
)
