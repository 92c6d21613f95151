"""How the tests run a measuring program as a user does."""

from tests import processes


def run_tool(name, *arguments):
    """Returns the exit code, the JSON object, what was printed instead or None, and the errors.

    Args:
        name: of a program in tools/.
        arguments: its own, beside --json.
    """
    done = processes.run(f"tools/{name}", "--json", *arguments)
    return done.code, done.json if done.code == 0 else done.out or None, done.err
