# The image to build in for the runtimes on Amazon Linux 1, from lambci: it has the compilers already.
#
#   docker build -f al1.Dockerfile --build-arg LAYERKIT_BUILD_IMAGE=lambci/lambda:build-python3.6 .
#
# DIGEST (sha256:...) pins what the tag is; PACKAGES are more packages of yum.
ARG LAYERKIT_BUILD_IMAGE=lambci/lambda:build-python3.7
ARG DIGEST
FROM ${LAYERKIT_BUILD_IMAGE}${DIGEST:+@${DIGEST}}
LABEL layerkit.runtimes="python3.6 python3.7"
ARG PACKAGES=""
RUN if [ -n "${PACKAGES}" ]; then yum install -y ${PACKAGES} && yum clean all; fi
