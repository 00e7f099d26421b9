"""An error a user can act on: the thing, the reason, the next step."""


class UserError(Exception):
    """Say in one line what is wrong and what to do about it.

    Commands print it and exit with code 2; pytest shows it as a usage error.
    """

    def __init__(self, thing: object, reason: str, next_step: str) -> None:
        self.thing = str(thing)
        self.reason = reason
        self.next_step = next_step
        super().__init__(" ".join(f"{self.thing}: {reason}; {next_step}".split()))

    @property
    def why(self) -> str:
        """Reason and next step, for where the thing is named already."""
        return " ".join(f"{self.reason}; {self.next_step}".split())
