"""New models like one that is there, or as a function makes them: layers under the same names."""

import contextlib
import copy

import keras
from keras.src.backend.common import global_state

from mocotf.errors import UserError
from mocotf.errors import first_line


def made_by(function):
    """Returns the model that a function makes, its layers named as in any process."""
    with names_from_one():
        model = function()
    if not isinstance(model, keras.Model):
        raise UserError(f"a backbone's function returned {kind_of(model)}; expected a keras.Model")
    return model


def maker_of_copies(model):
    """Returns the function () → new model of a model's layers and config, not of its weights.

    Raises:
        UserError: its config does not tell all of it; so does the function.
    """
    what = f"backbone {model.name}: cannot be copied"
    more = "expected a functional or sequential model, or a function that makes it"
    try:
        kind, config, build = type(model), model.get_config(), model.get_build_config()
    except NotImplementedError as error:
        raise UserError(f"{what} ({first_line(error)}); {more}") from error

    def make():
        try:
            with names_from_one():
                made = kind.from_config(copy.deepcopy(config))  # which it takes apart
                if not made.built and build:
                    made.build_from_config(build)
            return made
        except (TypeError, ValueError, NotImplementedError) as error:
            raise UserError(f"{what} ({first_line(error)}); {more}") from error

    return make


@contextlib.contextmanager
def dtype_policy(policy):
    """Within it new layers have a Keras dtype policy, or that of a name."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def names_from_one():
    """Within it Keras counts the layers that it names from one, as in a new process.

    By their names a checkpoint finds weights; and a process may have made other models before.
    """
    counts = "object_name_uids"
    before = global_state.get_global_attribute(counts)
    global_state.set_global_attribute(counts, None)
    try:
        yield
    finally:
        global_state.set_global_attribute(counts, before)


def read_file(path, name, writers):
    """Returns the model of a `.keras` file; code in it, which Keras's format allows, is not run.

    Args:
        path: of the file.
        name: what the message calls it.
        writers: what writes such files, for the message.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # what is no such file fails in many ways
        raise UserError(
            f"{name}: cannot be read: {first_line(error)}; expected a file that {writers} wrote"
        ) from error


def kind_of(value):
    """Returns what messages call a value that is not the one model, or tensor, that was expected."""
    if isinstance(value, dict):
        return f"a dictionary of {', '.join(map(str, value))}"
    if isinstance(value, tuple | list):
        return f"{len(value)} outputs"
    return f"a {type(value).__name__}"
