"""What to run: protocols, experiments and studies, rules and their revisions, a user's own criteria and actions."""
