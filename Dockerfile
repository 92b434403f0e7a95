# syntax=docker/dockerfile:1
# The binary `comms`, and nats-server beside it, so that the same image runs a node by itself (`comms up`) or beside a
# server (`comms up --nats URL`, see docker-compose.yml).

ARG RUST_VERSION=1.95
ARG NATS_VERSION=2.15.1
ARG DEBIAN=bookworm

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
# The image brings the C compiler that ring needs.
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package comms-cli && cp target/release/comms /usr/local/bin/comms

FROM nats:${NATS_VERSION}-alpine AS nats

FROM debian:${DEBIAN}-slim
LABEL org.opencontainers.image.title="comms" org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=nats /usr/local/bin/nats-server /usr/local/bin/nats-server
COPY --from=build /usr/local/bin/comms /usr/local/bin/comms
COPY LICENSE LICENSE-MIT LICENSE-APACHE /usr/share/doc/comms/
# A volume that is mounted here for the first time takes over the owner and mode of these folders.
RUN useradd --system --uid 10001 --user-group --home-dir /domain comms \
    && install --directory --owner=comms --group=comms /domain \
    && install --directory --owner=comms --group=comms --mode=0700 /domain/.comms \
    && install --directory --owner=comms --group=comms --mode=0755 /domain/.comms/nats
USER comms
WORKDIR /domain
ENTRYPOINT ["comms"]
CMD ["up"]
