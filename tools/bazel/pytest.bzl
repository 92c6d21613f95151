"""Test targets that run pytest under the Python of .venv."""

def pytest_test(name, srcs, deps = [], data = [], **kwargs):
    """One test target: pytest on the files in srcs."""
    native.py_test(
        name = name,
        srcs = srcs + ["//tools/bazel:pytest_main.py"],
        main = "//tools/bazel:pytest_main.py",
        args = ["$(rootpath %s)" % src for src in srcs],
        data = data + ["//:test_inputs"],
        deps = deps,
        **kwargs
    )

def pytest_tests(deps = [], **kwargs):
    """One target per test_*.py of the folder; its other .py files go with each of them."""
    native.py_library(
        name = "support",
        srcs = native.glob(["*.py"], exclude = ["test_*.py"], allow_empty = True),
        testonly = True,
        visibility = ["//tests:__subpackages__"],
    )
    deps = deps + [":support"]
    if native.package_name() != "tests":
        deps = deps + ["//tests:support"]  # tests/conftest.py
    for src in native.glob(["test_*.py"], allow_empty = True):
        pytest_test(
            name = src[:-len(".py")],
            srcs = [src],
            deps = deps,
            **kwargs
        )
