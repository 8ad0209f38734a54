"""Documents that people write and receive: briefs, drafts and manifests.

They are checked against the backends, so they depend on `backends`. The smaller types that describe
backends are in `schema`.
"""
