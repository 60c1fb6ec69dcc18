#!/bin/sh
# Start SeaweedFS with one S3 identity, whose keys come from the environment and are written nowhere else.
set -eu
config=/tmp/s3.json
umask 077
printf '{"identities":[{"name":"evergreen","credentials":[{"accessKey":"%s","secretKey":"%s"}],"actions":["Admin","Read","Write","List","Tagging"]}]}' \
    "$S3_KEY" "$S3_SECRET" > "$config"
# Its own servers speak to each other under the name s3, which stays when the container's address does not.
exec weed server -dir=/data -ip=s3 -ip.bind=0.0.0.0 -master.volumeSizeLimitMB=1024 -master.telemetry=false -volume.max=0 \
    -s3 -s3.port=8333 -s3.port.iceberg=0 -s3.port.lance=0 -s3.config="$config"
