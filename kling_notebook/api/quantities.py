"""Numbers as a person reads them: counted nouns, credits and durations."""


def count(number: int, noun: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def about(credits: float) -> str:
    """``about 1 credit``, ``about 2.5 credits``."""
    return f"about {credits:g} credit{'s' * (credits != 1)}"


def duration(seconds: float) -> str:
    """``8 s``, ``2 min``, ``1 h 20 min``: two figures are enough for an estimate."""
    if seconds < 90:
        return f"{max(1.0, seconds):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
