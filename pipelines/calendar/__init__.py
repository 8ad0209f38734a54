"""The content calendar: which briefs are due. It knows neither Prefect nor the present time."""
