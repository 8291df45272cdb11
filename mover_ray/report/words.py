"""What a threshold means for the videos of a run, in plain words."""

from mover_ray.report.summary import Alarm


def alarm_sentence(alarm: Alarm) -> str:
    """Says how many videos reach a threshold, and how many would if all were real."""
    expected = alarm.rate * alarm.judged
    return (
        f"At the threshold that {100 * alarm.rate:g} % of real videos reach by mistake,"
        f" {alarm.above:,} of {alarm.judged:,} scored videos are suspicious. If every one of"
        f" those {alarm.judged:,} videos were real, about {_count(expected)} would be."
    )


def _count(expected: float) -> str:
    return f"{expected:,.0f}" if expected >= 10 else f"{expected:.1f}"
