"""Stub until the data branch is merged."""


def source_by_name(name):
    raise NotImplementedError


def split_by_name(name):
    raise NotImplementedError
