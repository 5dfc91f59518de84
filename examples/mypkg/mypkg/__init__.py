"""Classes for recsys that are not part of it; configurations name them by `_target_: mypkg.MyNet`."""

from mypkg.callback import VectorLengths
from mypkg.loss import Huber
from mypkg.metric import LongTail
from mypkg.model import MyNet
from mypkg.source import JsonLines
from mypkg.split import LastDays

__all__ = ["Huber", "JsonLines", "LastDays", "LongTail", "MyNet", "VectorLengths"]
