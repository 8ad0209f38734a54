"""Servers that a studio runs itself: `/v1/videos` in four dialects, and LightX2V's `/v1/tasks`.

They cost nothing and keep their jobs in memory, except another Reelwright: after a restart a server
answers 404 for a job, which is then `gone` and is submitted anew.
"""
