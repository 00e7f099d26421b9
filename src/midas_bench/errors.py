"""An error a user can act on: the thing, the reason, the next step."""


class UserError(Exception):
    """Say in one line what is wrong and what to do about it.

    Commands print it and exit with code 2; pytest shows it as a usage error.

    Attributes:
        why: reason and next step, for where the thing is named already.
    """

    def __init__(self, thing: object, reason: str, next_step: str) -> None:
        self.thing = str(thing)
        self.reason = reason
        self.next_step = next_step
        self.why = " ".join(f"{reason}; {next_step}".split())
        super().__init__(" ".join(f"{self.thing}: {self.why}".split()))
