"""Keeps the progress bars of libraries off our standard error."""


def quiet_libraries() -> None:
    """Model loading of diffusers and transformers says nothing but errors from now on."""
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
        library.set_verbosity_error()
