#!/usr/bin/env bash
# Installs on Debian what the tests use and this machine lacks. Without it, the tests that need it are skipped.
set -euo pipefail

missing=()
tools=$HOME/.cache/millrace-tests/bin
need() { PATH=$PATH:/usr/sbin:/sbin:$(echo /usr/lib/postgresql/*/bin | tr ' ' :) command -v "$1" >/dev/null || missing+=("$2"); }
need chromium chromium
need nginx nginx-light
need prlimit util-linux
need openssl openssl
need tinyproxy tinyproxy
need microsocks microsocks
need script bsdutils
need mount mount
need javac default-jdk-headless
need strace strace
need faketime faketime
need postgres postgresql
need redis-server redis-server
need mosquitto mosquitto
need mosquitto_sub mosquitto-clients
need mariadbd mariadb-server
kafka=$HOME/.cache/millrace-tests/kafka
[ -e "$kafka"/kafka_2.13-4.2.2.jar ] || need mvn maven
/usr/bin/python3 -I -c 'import websockets' 2>/dev/null || missing+=(python3-websockets)
if [ ${#missing[@]} -gt 0 ]; then
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
# The one of Debian 12 is too old: batches that are stored whole or not at all came with 2.12.
PATH=$tools:$PATH command -v nats-server >/dev/null ||
  GOBIN=$tools go install github.com/nats-io/nats-server/v2@v2.15.2
if [ ! -e "$kafka"/kafka_2.13-4.2.2.jar ]; then
  project=$(mktemp -d)
  dependency() { echo "<dependency><groupId>$1</groupId><artifactId>$2</artifactId><version>$3</version></dependency>"; }
  cat >"$project/pom.xml" <<POM
<project><modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies>$(dependency org.apache.kafka kafka_2.13 4.2.2)$(dependency org.apache.kafka kafka-tools 4.2.2)$(dependency org.slf4j slf4j-simple 1.7.36)</dependencies></project>
POM
  mvn -q -B -f "$project/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$kafka"
  rm -rf "$project"
fi
echo 'Nothing is missing.'
