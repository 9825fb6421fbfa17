"""All scenarios, in the order in which they are demo_run."""

from typing import Final

from sandbox import multi_account_story, story, sweep_story

SCENARIOS: Final = (*story.SCENARIOS, *multi_account_story.SCENARIOS, *sweep_story.SCENARIOS)
