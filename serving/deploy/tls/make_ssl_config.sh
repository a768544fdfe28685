#!/bin/sh
# Writes ssl.config (tensorflow.serving.SSLConfig, --ssl_config_file) beside this script. The server
# wants the PEM texts themselves in it, not the names of their files: it is a secret.
#
#   make_ssl_config.sh SERVER_KEY SERVER_CERT            TLS
#   make_ssl_config.sh SERVER_KEY SERVER_CERT CLIENT_CA  mutual TLS: clients show a certificate of this CA
set -eu
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
for file in "$@"; do
  if ! grep -q -e '-----BEGIN' "$file"; then
    echo "error: $file: not a PEM file" >&2
    exit 1
  fi
done

# A text-protobuf string of the file's PEM blocks, without the text that openssl may put around them.
field() {
  printf '%s:\n' "$1"
  awk '/-----BEGIN/ { inside = 1 }
       inside { sub(/\r$/, ""); printf "  \"%s\\n\"\n", $0 }
       /-----END/ { inside = 0 }' "$2"
}

out="$(dirname "$0")/ssl.config"
umask 077
{
  field server_key "$1"
  field server_cert "$2"
  if [ $# -eq 3 ]; then
    field custom_ca "$3"
    echo 'client_verify: true'
  else
    echo 'client_verify: false'
  fi
} > "$out.part"
mv "$out.part" "$out"
echo "$out"
