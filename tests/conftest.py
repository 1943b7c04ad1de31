"""What every test shares."""

import os

from hypothesis import settings

# The same examples everywhere: a suite that gates a change may not fail by luck. No deadline,
# since a busy machine is no fault of the code. HYPOTHESIS_PROFILE=explore looks further.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))
