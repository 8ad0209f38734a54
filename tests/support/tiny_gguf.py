"""The random model of the product, under the name that tests use."""

from pipelines.prompting.tiny_model import write_tiny_mistral as write_tiny_mistral
