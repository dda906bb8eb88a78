#!/bin/sh
# Makes the secrets of a deployment: passwords, a certificate authority, and certificates for the services that it signs.
#
#   docker/secrets.sh FOLDER [HOST ...]
#
# HOST: names and addresses under which clients reach the deployment from outside (default: localhost 127.0.0.1).
# What exists is kept, so that running it again adds only what is missing. Only you can enter the folder; the files in it
# can be read by the containers' own user, into whose containers Docker mounts them one by one.
set -eu
folder=${1:?usage: docker/secrets.sh FOLDER [HOST ...]}
shift
[ $# -gt 0 ] || set -- localhost 127.0.0.1
umask 077
mkdir -p "$folder"
cd "$folder"

password() { # NAME: letters and digits, which every program takes
  [ -s "$1" ] || openssl rand -hex 24 >"$1"
}

names() { # HOST ...: subject alternative names
  list=
  for name in "$@"; do
    case $name in
    *[!0-9.]*) list="$list,DNS:$name" ;;
    *) list="$list,IP:$name" ;;
    esac
  done
  echo "${list#,}"
}

certificate() { # FILE COMMON_NAME HOST ...: key, certificate and authority in one PEM
  file=$1 common=$2
  shift 2
  [ -s "$file" ] && return
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.tmp -subj "/CN=$common" -out request.tmp 2>/dev/null
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$(names "$@")" >extensions.tmp
  openssl x509 -req -in request.tmp -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 \
    -extfile extensions.tmp -out certificate.tmp 2>/dev/null
  cat key.tmp certificate.tmp ca.pem >"$file"
  rm -f key.tmp request.tmp extensions.tmp certificate.tmp
}

if [ ! -s ca.pem ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key \
    -subj "/CN=FinanceLake authority" -days 3650 \
    -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.pem 2>/dev/null
fi
# brokers know each other by this common name
certificate kafka.pem broker kafka-1 kafka-2 kafka-3 "$@"
certificate proxy.pem proxy proxy "$@"

for name in kafka-admin kafka-lake spark-token spark-cluster postgres web-token; do
  password "$name"
done
[ -s dagster-postgres ] || echo "postgresql://financelake:$(cat postgres)@postgres/financelake" >dagster-postgres
[ -s dashboard-login ] || echo "lake:$(openssl rand -hex 12)" >dashboard-login
[ -s dashboard-password ] || cut -d: -f2 dashboard-login >dashboard-password
# the proxy asks for the same name and password in front of Dagster
[ -s proxy-logins ] || {
  login=$(cat dashboard-login)
  echo "${login%%:*}:$(openssl passwd -apr1 "${login#*:}")" >proxy-logins
}
chmod 644 -- *
chmod 600 ca.key
echo "secrets are in $PWD; the login of the dashboard and of Dagster is in dashboard-login"
