# The image: one binary on a distroless base. See README, "Docker" and "Railway".

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# Dependencies first, with an empty program: this layer stays until they change. (Cargo wants to see the benches it builds none of.)
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src
COPY src src
# Cargo goes by time stamps: what was copied is older than the empty program just built.
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked \
    && mkdir /data

# glibc, libgcc, CA certificates and time zones; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/ringback /usr/local/bin/ringback
# A new named volume takes over the owner of the folder it is mounted on. No VOLUME line: Railway refuses it, and an anonymous volume
# would hide that nothing durable is mounted, which the service refuses to start without.
COPY --from=build --chown=65532:65532 /data /data
ENV HOST=:: \
    PORT=8000 \
    DATABASE_URL=sqlite:/data/ringback.db \
    LOG_FORMAT=json
# glibc gives large blocks back to the system only as long as it has not seen many; without this, bodies of megabytes leave hundreds behind.
ENV MALLOC_MMAP_THRESHOLD_=1048576
USER 65532:65532
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=15s --retries=3 CMD ["/usr/local/bin/ringback", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/ringback"]
CMD ["serve"]
