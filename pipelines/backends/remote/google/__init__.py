"""Google's video models: Gemini Omni through the Interactions API, and Veo on Google Cloud."""
