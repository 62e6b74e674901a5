"""How fast the relay looks, beats and tries again."""

import random
from dataclasses import dataclass

_RANDOM = random.SystemRandom()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Times in seconds; the defaults are what a plant needs, tests hurry."""

    # A look at an idle destination is one index descent a slot, measured 0.35 ms, so three destinations cost one core
    # 5%; and an event waits 10 ms in the mean, a tenth of what a verdict may take. NOTIFY would serialise commits.
    poll_s: float = 0.02
    beat_s: float = 1.0  # between two looks at the other relays
    lease_s: float = 5.0  # without a beat for so long, nothing is published
    look_s: float = 1.0  # between two looks for destinations that are new
    count_s: float = 5.0  # between two counts of what waits: they read the whole queue
    prune_s: float = 60.0
    keep_s: float = 7 * 86_400.0  # published rows stay as long as a week of Kafka: they answer "was it sent?"
    first_retry_s: float = 0.25
    longest_retry_s: float = 15.0
    most_attempts: int = 8  # of a row that its destination refuses: about half a minute, then it is set aside

    def retry_s(self, failures: int) -> float:
        """How long to wait after that many failures on end: doubled each time, with jitter so that relays spread."""
        longest = min(self.longest_retry_s, self.first_retry_s * 2.0 ** min(failures - 1, 20))
        return longest * _RANDOM.uniform(0.5, 1.0)
