# The image to build in for the runtimes on Amazon Linux 2: the runtime's own, and compilers.
#
#   docker build -f al2.Dockerfile --build-arg LAYERKIT_RUN_IMAGE=public.ecr.aws/lambda/python:3.9 .
#
# DIGEST (sha256:...) pins what the tag is; PACKAGES are more packages of yum.
ARG LAYERKIT_RUN_IMAGE=public.ecr.aws/lambda/python:3.11
ARG DIGEST
FROM ${LAYERKIT_RUN_IMAGE}${DIGEST:+@${DIGEST}}
LABEL layerkit.runtimes="python3.8 python3.9 python3.10 python3.11"
ARG TOOLS="gcc gcc-c++ make patch pkgconfig tar gzip xz"
ARG PACKAGES=""
RUN yum install -y ${TOOLS} ${PACKAGES} && yum clean all
