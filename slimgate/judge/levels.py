"""The error rates of every verdict, and the normal quantiles that belong to them."""

from __future__ import annotations

# A too-large drop passes, or a harmless one fails, at most this often (one-sided).
ALPHA = 0.05
# The two-sided level of every reported interval, so that its bounds agree with the one-sided verdict.
LEVEL = 0.90
# The chance that `rows needed` gives an honest variant to pass.
POWER = 0.80
Z_ALPHA = 1.6448536269514722
Z_POWER = 0.8416212335729143


def z_quantile(alpha: float) -> float:
    """The one-sided point of the normal distribution at level `alpha`."""
    from scipy.special import ndtri

    return float(-ndtri(alpha))


def t_quantile(degrees: int, alpha: float = ALPHA) -> float:
    """The one-sided point of Student's t, for a variance that is estimated from few groups."""
    from scipy.special import stdtrit

    return float(stdtrit(max(degrees, 1), 1 - alpha))
