# The image to build in for the runtimes on Amazon Linux 2023: the runtime's own, and compilers.
#
#   docker build -f al2023.Dockerfile --build-arg LAYERKIT_RUN_IMAGE=public.ecr.aws/lambda/python:3.13 .
#
# DIGEST (sha256:...) pins what the tag is; PACKAGES are more packages of microdnf.
ARG LAYERKIT_RUN_IMAGE=public.ecr.aws/lambda/python:3.12
ARG DIGEST
FROM ${LAYERKIT_RUN_IMAGE}${DIGEST:+@${DIGEST}}
LABEL layerkit.runtimes="python3.12 python3.13 python3.14 python3.15"
ARG TOOLS="gcc gcc-c++ make patch pkgconf-pkg-config tar gzip xz"
ARG PACKAGES=""
RUN microdnf install -y ${TOOLS} ${PACKAGES} && microdnf clean all
