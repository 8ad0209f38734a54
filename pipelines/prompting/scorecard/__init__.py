"""The scorecard of the writers: what each of them makes of forty briefs, measured."""
