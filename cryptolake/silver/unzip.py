"""The name by which the normalizer knows :mod:`cryptolake.unzip`, which the Bronze readers share."""

from cryptolake.unzip import DEFAULT_LIMITS, Limits, Member, find_member, inflate, inflate_chunks

__all__ = ["DEFAULT_LIMITS", "Limits", "Member", "find_member", "inflate", "inflate_chunks"]
