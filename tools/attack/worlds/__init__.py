"""The worlds: each is one kind of project."""

from tools.attack.world import World
from tools.attack.worlds.chat import Chat
from tools.attack.worlds.classified import Classified
from tools.attack.worlds.evaluated import Evaluated
from tools.attack.worlds.log_folders import LogFolders
from tools.attack.worlds.predictions import Predictions
from tools.attack.worlds.served import Served
from tools.attack.worlds.tables import Tables

WORLDS: tuple[type[World], ...] = (Served, Classified, Chat, Evaluated, LogFolders, Predictions, Tables)

__all__ = ["WORLDS"]
