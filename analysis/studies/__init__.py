"""Protocols, experiments and studies, rules and their revisions, user-defined criteria and actions."""
