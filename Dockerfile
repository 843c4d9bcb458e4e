# A GPU image: the locked environment and the package.
#   docker build -t hoi_d2 . && docker run --gpus all --shm-size 8g -v "$PWD/datasets:/data" hoi_d2 hoi-d2 env
# Linted with hadolint, never built so far. What was tried: its lock file installs, and the package
# finds interactions, on Python 3.12 (Ubuntu 24.04's) and 3.13.
#
# torch's wheels bring CUDA 13.0 themselves, so the base image has none of its libraries. It makes
# Docker refuse drivers that are too old for them: CUDA 13 needs 580 or newer.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04

# Ubuntu's archive keeps only the newest version of a package: a pinned one soon fails to install.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ffmpeg git make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/hoi_d2
COPY . .
RUN make env && rm -rf /root/.cache

ENV PATH=/opt/hoi_d2/.venv/bin:$PATH \
    DETECTRON2_DATASETS=/data
CMD ["hoi-d2", "--help"]
