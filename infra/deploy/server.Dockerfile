# Prefect's server with exactly the versions that the workers have.
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE}
COPY constraints.txt /tmp/constraints.txt
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt prefect fastapi sqlalchemy asyncpg \
    && useradd --create-home --uid 1000 prefect
USER prefect
ENV PREFECT_HOME=/home/prefect
EXPOSE 4200
CMD ["python", "-m", "uvicorn", "--factory", "--host", "0.0.0.0", "--port", "4200", \
     "--log-level", "warning", "prefect.server.api.server:create_app"]
