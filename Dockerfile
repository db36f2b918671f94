# Images of the Chat Service. The default target is the service: one binary for all roles, run as an unprivileged user on a slim Debian.
# The target `web` is nginx with the chat page and the documentation site: docker build --target web -t chat-service-web .

FROM rust:1.95.0-slim-bookworm AS build
# A C compiler and make, for the cryptographic library and the allocator.
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The allocator is built for the page size of the build machine, but ARM kernels have pages of up to 64 KiB.
ARG TARGETARCH
# The caches are mounted only during this step, so the binary is copied out of them here.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    if [ "$TARGETARCH" = arm64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi \
 && cargo build --release --locked --features jemalloc \
 && install -D target/release/chat-service /out/chat-service

# The chat page and the documentation site.
FROM node:20-bookworm-slim AS pages
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.npm \
    npm ci --prefix examples/page && npm run build --prefix examples/page -- --outDir /out/page --emptyOutDir \
 && npm ci --prefix docs/site && node docs/site/build.mjs /out/docs /tmp/docs-work

# Its configuration is a template, which the image renders with the NGINX_ variables at its start.
FROM nginx:1.28-alpine AS web
COPY nginx/chat.conf.template /etc/nginx/templates/nginx.conf.template
COPY nginx/includes /etc/nginx/includes
COPY --from=pages /out/page /usr/share/nginx/chat-page
COPY --from=pages /out/docs /usr/share/nginx/chat-docs
ENV NGINX_PAGE_DIR=/usr/share/nginx/chat-page NGINX_DOCS_DIR=/usr/share/nginx/chat-docs

FROM debian:bookworm-slim
# Certificate authorities, for webhooks and JWKS over https.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin chat \
 && install -d -o 10001 /var/lib/chat/attachments
COPY --from=build /out/chat-service /usr/local/bin/chat-service
ENV HOST=0.0.0.0 LOG_FORMAT=json
USER 10001
# REST and WebSocket; each also answers /health and /metrics.
EXPOSE 4000 4001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["chat-service", "healthcheck"]
# SIGTERM drains: allow SHUTDOWN_GRACE_SECONDS and a margin before SIGKILL (docker stop --time 40).
ENTRYPOINT ["chat-service"]
CMD ["serve"]
