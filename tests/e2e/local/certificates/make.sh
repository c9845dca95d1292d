#!/bin/sh
# Makes the certificates of the test of TLS again, for a hundred years: an authority, another one, and a server of this machine that the
# first has signed. Nobody else trusts them, so that the server's key is no secret.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
cd "$work"
touch index.txt
cat > ca.conf <<'END'
[ca]
default_ca = ours
[ours]
database = index.txt
rand_serial = yes
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE
[server]
basicConstraints = CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
END
request() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=backfill test $1"
}
# From a day that is past on every machine.
signed() {
    name=$1
    shift
    openssl ca -batch -notext -config ca.conf -startdate 20200101000000Z -enddate 21200101000000Z -in "$name.csr" -out "$name.pem" "$@"
}
for name in authority other; do
    request "$name"
    signed "$name" -selfsign -keyfile "$name.key" -extensions authority
done
request server
signed server -cert authority.pem -keyfile authority.key -extensions server
cp authority.pem other.pem server.pem server.key "$here"
rm -r "$work"
