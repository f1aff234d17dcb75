# The base must have a shell, `env` and `tail` (Kubernetes runners need them). A release pins it by digest.
ARG BASE=python:3.13-slim

FROM ${BASE} AS dependencies
COPY requirements/action.txt /tmp/action.txt
# The environment has no pip of its own; the base's one fills it. One of the packages ships its tests: they go.
# Bytecode that is never checked against its source starts fastest, and is the same in every build.
RUN python3 -m venv --without-pip /opt/dbt-cloud-run/venv \
    && pip --no-cache-dir --disable-pip-version-check --python /opt/dbt-cloud-run/venv/bin/python \
        install --require-hashes --only-binary :all: --no-compile --root-user-action ignore -r /tmp/action.txt \
    && site=$(/opt/dbt-cloud-run/venv/bin/python -Ic 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && rm -rf "$site/tests" \
    && echo /opt/dbt-cloud-run/app > "$site/dbt_cloud_run.pth" \
    && /opt/dbt-cloud-run/venv/bin/python -Im compileall -q --invalidation-mode unchecked-hash "$site"

FROM dependencies AS package
COPY entrypoint.py post_entrypoint.py command_entrypoint.py /opt/dbt-cloud-run/app/
COPY src/dbt_cloud_run /opt/dbt-cloud-run/app/dbt_cloud_run
COPY tools/bytecode.py /tmp/bytecode.py
# Each folder of /layers becomes a layer. One time for all files: what has not changed is the same layer in every
# release, and is not pulled again.
RUN chmod 0755 /opt/dbt-cloud-run/app/*.py \
    && /opt/dbt-cloud-run/venv/bin/python -Im compileall -q --invalidation-mode unchecked-hash \
        /opt/dbt-cloud-run/app/dbt_cloud_run \
    && /opt/dbt-cloud-run/venv/bin/python -I /tmp/bytecode.py > /tmp/bytecode \
    && mkdir -p /layers/dependencies /layers/library /layers/action \
    && cp -a --parents /opt/dbt-cloud-run/venv /layers/dependencies \
    && xargs cp -a --parents -t /layers/library < /tmp/bytecode \
    && cp -a --parents /opt/dbt-cloud-run/app /layers/action \
    && mkdir -p /layers/action/usr/local/bin \
    && ln -s /opt/dbt-cloud-run/app/command_entrypoint.py /layers/action/usr/local/bin/dbt-cloud-run \
    && find /layers -exec touch --no-create --no-dereference --date=1980-01-01T00:00Z {} +

FROM ${BASE}
# Dependencies change rarely and ours is the last, small layer: a new version of the action replaces that alone.
COPY --from=package /layers/dependencies/ /
COPY --from=package /layers/library/ /
COPY --from=package /layers/action/ /
ARG VERSION=0.0.0+local
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="dbt-cloud-run" \
      org.opencontainers.image.description="Run a dbt Cloud job from a GitHub workflow" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# It runs as root, as GitHub demands of container actions: the files through which a step talks to the runner belong
# to a user whose id the image cannot know. What the action writes into the workspace is given to the workspace's owner.
# The runner sets the working directory and both entry points (see action.yml); this is the same for `docker run`.
# `docker run IMAGE dbt-cloud-run …` is the command: the entry point becomes it, as the first process of the container.
# A shell in the container finds it in PATH.
ENTRYPOINT ["/opt/dbt-cloud-run/app/entrypoint.py"]
