"""Whether a cycler's step times run as its times do: else one of both has another unit."""

from __future__ import annotations

import numpy as np

from rocksalt.analysis.quantities import Array

_LEAST_RECORDS = 4  # of a step whose step times are compared: fewer may be of several steps
_CLOCKS = 0.01  # by which two clocks may differ


def usable_step_times(time_s: Array, step_s: Array) -> tuple[Array | None, list[str]]:
    """Return the times since each step began, None where they cannot be, with a remark that says why.

    They rise within a step as the times do, within their rounding: if they do not for most of the
    time, one of the columns has another unit. Which one they cannot tell, and the times are kept.

    Parameters
    ----------
    time_s
        (n,) since the start of the test, not decreasing, in s.
    step_s
        (n,) since the step began, in s.
    """
    n_wrong = int(np.count_nonzero(~np.isfinite(step_s)))
    if n_wrong:
        remark = f"{n_wrong} of {len(step_s)} step times are not numbers, and none is used."
        return None, [remark]
    n_wrong = int(np.count_nonzero(step_s < 0))
    if n_wrong:
        return None, [f"{n_wrong} of {len(step_s)} step times are negative, and none is used."]
    rises = np.diff(step_s)
    rounding = float(np.min(rises[rises > 0], initial=np.inf))
    allowed = rounding if np.isfinite(rounding) else 0.0  # they may never rise
    passed = risen = contradicted = 0.0
    for rows in np.split(np.arange(len(step_s)), np.flatnonzero(rises < 0) + 1):
        if len(rows) < _LEAST_RECORDS:
            continue
        in_time = float(time_s[rows[-1]] - time_s[rows[0]])
        in_step = float(step_s[rows[-1]] - step_s[rows[0]])
        passed, risen = passed + in_time, risen + in_step
        if abs(in_step - in_time) > allowed + _CLOCKS * in_time:
            contradicted += in_time
    if contradicted > passed / 2:
        remark = (
            f"Step times rise by {risen / passed:.3g} s in each second of the times, so that one of both "
            "has another unit: step times are not used, and times are taken as they are. Name the "
            "columns by their units, as columns: {'Step Time / min': its heading}."
        )
        return None, [remark]
    return step_s, []
