#!/bin/sh
# Makes this pod's certificate, for its own address, before Ray starts in it.
# POD_IP is the address; the authority of the namespace lies in /etc/ray/ca.
set -eu

ca=/etc/ray/ca
out=/etc/ray/tls
umask 077
openssl req -newkey rsa:3072 -nodes -subj '/CN=mover-ray node' \
    -keyout "$out/tls.key" -out "$out/tls.csr"
printf 'subjectAltName=IP:%s,IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' \
    "$POD_IP" >"$out/extensions"
openssl x509 -req -days 90 -in "$out/tls.csr" -CA "$ca/tls.crt" -CAkey "$ca/tls.key" \
    -set_serial "0x$(openssl rand -hex 16)" -extfile "$out/extensions" -out "$out/tls.crt"
cp "$ca/ca.crt" "$out/ca.crt"
rm "$out/tls.csr" "$out/extensions"
