# A layer of programs and libraries from the packages of Amazon Linux 2023, here poppler's for PDF.
#
#   [tool.layerkit.layers.pdf]
#   dockerfile = "docker/system-library.Dockerfile"
#   args = { PACKAGES = "libpq", FILES = "/usr/lib64/libpq.so.5" }      # or these
#
# Each of FILES goes where Lambda looks for it (bin, lib, share), with every library that it needs and
# that the runtime is not known to have.
ARG LAYERKIT_RUN_IMAGE=public.ecr.aws/lambda/python:3.12
ARG DIGEST
FROM ${LAYERKIT_RUN_IMAGE}${DIGEST:+@${DIGEST}} AS collected
ARG PACKAGES="poppler-utils"
RUN microdnf install -y ${PACKAGES} && microdnf clean all
COPY collect /tmp/
ARG FILES="/usr/bin/pdfinfo /usr/bin/pdftotext /usr/bin/pdftoppm /usr/share/poppler"
ARG LAYERKIT_LIBRARIES="libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 libgcc_s.so.1 libstdc++.so.6"
RUN sh /tmp/collect ${FILES}

FROM scratch
COPY --from=collected /opt /opt
