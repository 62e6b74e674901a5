"""Where FlowFiles go."""


class Relationship:
    """One of a processor's; `auto_terminated` is its default in a new flow."""

    def __init__(self, name: str, description: str, auto_terminated: bool = False) -> None:
        self.name, self.description, self.auto_terminated = name, description, auto_terminated
