# The openbook service alone; Qdrant and vLLM are containers of their own (docker-compose.yml).
FROM python:3.11.14-slim-bookworm

# --build-arg TORCH_PIP_ARGS="--index-url ..." chooses another build of torch, for example one for CPUs only.
ARG TORCH_PIP_ARGS=""

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    # A folder named api or rag where the service happens to be started must not replace ours.
    PYTHONSAFEPATH=1 \
    HF_HUB_OFFLINE=1 \
    DO_NOT_TRACK=1 \
    UNSTRUCTURED_DISABLE_NOTICE=1 \
    TOKENIZERS_PARALLELISM=false

WORKDIR /app

# The environment first: it changes less often than the code, and is most of the image.
COPY locks/app.lock locks/torch-x86_64-cuda.lock locks/torch-aarch64-cuda.lock locks/
RUN pip install --no-deps -r locks/app.lock \
 && pip install --constraint locks/app.lock --constraint "locks/torch-$(uname -m)-cuda.lock" "$(sed -n 's/^# \(torch==.*\)/\1/p' locks/app.lock)" ${TORCH_PIP_ARGS}

COPY pyproject.toml README.md LICENSE ./
COPY openbook openbook
COPY rag rag
COPY ingest ingest
COPY api api
COPY evals evals
RUN pip install --no-deps --no-build-isolation . \
 && python -m rag.models.embed_prepare \
 && useradd --create-home --uid 1000 openbook \
 && mkdir /data && chown openbook /data

USER openbook
WORKDIR /home/openbook
VOLUME /data
EXPOSE 8080
CMD ["openbook", "serve"]
