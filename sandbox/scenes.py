"""All scenes, in the order in which they are told."""

from typing import Final

from sandbox import lab_story, story, sweep_story

SCENES: Final = (*story.SCENES, *lab_story.SCENES, *sweep_story.SCENES)
