# A GPU image: the locked environment and the package. Not built by the tests.
#   docker build -t hoi_d2 . && docker run --gpus all --shm-size 8g -v "$PWD/datasets:/data" hoi_d2 hoi-d2 env
FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04

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
