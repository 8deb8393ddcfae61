# The service and the house model:
#
#   docker build -t sluice .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 sluice
#   docker run ... -v FOLDER:/models:ro -e SLUICE_MODEL=/models sluice     another model
#
# Nothing is written to its file system and no shell is used. BASE should be pinned by
# digest where builds must repeat (--build-arg BASE=debian@sha256:...). The operator's port
# (8081: probes, metrics) is for the network inside; -e SLUICE_METRICS_ON_SERVICE=off keeps
# both off 8080.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
COPY deploy/packages/build.txt /packages.txt
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive xargs -a /packages.txt \
      apt-get install -y --no-install-recommends \
 && rm -rf /var/lib/apt/lists/*
COPY . /sluice
WORKDIR /sluice
RUN cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
 && cmake --build build --target sluice \
 && mkdir -p /image/bin /image/share/sluice /image/share/doc/sluice \
 && strip -o /image/bin/sluice build/server/sluice \
 && cp -r model/house model/house-rectified /image/share/sluice/ \
 && cp LICENSE NOTICE /image/share/doc/sluice/ \
 && chmod -R a+rX /image

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sluice" \
      org.opencontainers.image.description="Image generation over HTTP by flow matching, on CPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY deploy/packages/run.txt /packages.txt
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive xargs -a /packages.txt \
      apt-get install -y --no-install-recommends \
 && rm -rf /var/lib/apt/lists/* /packages.txt \
 && mkdir /models
COPY --from=build /image/bin/sluice /usr/local/bin/sluice
COPY --from=build /image/share /usr/share

# OpenBLAS starts its threads when it is loaded; the server's workers replace them.
ENV SLUICE_HOST=0.0.0.0 \
    SLUICE_MODEL=/usr/share/sluice/house \
    OPENBLAS_NUM_THREADS=1
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Where the operator's port is, is read from variables: set SLUICE_ADMIN_PORT, not --admin-port.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["/usr/local/bin/sluice", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/sluice"]
CMD ["serve"]
