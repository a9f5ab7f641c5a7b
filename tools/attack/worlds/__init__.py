"""The worlds: one kind of project each."""

from tools.attack.world import World



from tools.attack.worlds.log_folders import LogFolders
from tools.attack.worlds.predictions import Predictions
from tools.attack.worlds.served import Served

WORLDS: tuple[type[World], ...] = (Served, LogFolders, Predictions)

__all__ = ["WORLDS"]
