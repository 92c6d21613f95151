"""What the workspace takes from outside: Bazel's own rule sets, and the Python of .venv."""

def debian_repositories():
    """Gives Debian's Bazel from disk what it would download; any other Bazel downloads its own."""
    if native.bazel_version:  # Debian's build reports no version
        return
    native.local_repository(
        name = "rules_cc",
        path = "third_party/bazel/rules_cc",
    )
    native.local_repository(
        name = "remote_coverage_tools",
        path = "third_party/bazel/remote_coverage_tools",
    )
    native.local_repository(
        name = "rules_java",
        path = "/usr/share/bazel/rules/java",  # Debian package bazel-rules-java
    )

# The start script of a test runs under python3: Debian has no `python`, Bazel's default.
_BUILD = """
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

py_runtime(
    name = "runtime",
    interpreter_path = "{python}",
    python_version = "PY3",
    stub_shebang = "#!/usr/bin/env python3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

def _venv_python_impl(ctx):
    root = ctx.path(Label("//:WORKSPACE")).dirname
    python = root.get_child(".venv").get_child("bin").get_child("python")
    if not python.exists:
        fail("no .venv/bin/python: run `make .venv` first")
    ctx.file("BUILD", _BUILD.format(python = python))

venv_python = repository_rule(
    implementation = _venv_python_impl,
    doc = "A Python toolchain whose interpreter is .venv/bin/python of the checkout.",
    local = True,
)
