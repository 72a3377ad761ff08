# syntax=docker/dockerfile:1

FROM rust:1-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p df2redis \
    && install -D -m 0755 target/release/df2redis /out/df2redis

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 df2redis \
    && useradd --system --uid 10001 --gid df2redis --home-dir /var/lib/df2redis --create-home df2redis
COPY --from=build /out/df2redis /usr/local/bin/df2redis
# `checkpoint.dir: ./checkpoint` lands here: mount a volume.
WORKDIR /var/lib/df2redis
VOLUME /var/lib/df2redis
USER 10001:10001
# Set dashboard.addr to 0.0.0.0:8080 to reach it from outside.
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["df2redis"]
CMD ["help"]
