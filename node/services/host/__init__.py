"""Renting out disk: offers are judged, shards fetched and served, audits answered, and what was earned is claimed."""
