"""All scenes, in the order in which they are told."""

from typing import Final

from sandbox import lab_story, story

SCENES: Final = (*story.SCENES, *lab_story.SCENES)
