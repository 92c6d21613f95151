"""How the tests run a measuring program as a user does."""

from tests import processes


def run_tool(name, *arguments):
    """Returns the exit code, the JSON object or None, and what was said on stderr.

    Args:
        name: of a program in tools/.
        arguments: its own, beside --json.
    """
    done = processes.run(f"tools/{name}", "--json", *arguments)
    return done.code, done.json if done.out else None, done.err
