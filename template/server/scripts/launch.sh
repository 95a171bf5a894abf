#!/bin/sh
# Prepares this host for the index and starts it. The Makefile calls it:
#
#   launch.sh prepare   check Docker, create what a fresh clone lacks, build the image
#   launch.sh start     prepare, check accounts, disk, certificate and Caddyfile, start, wait
#                       until healthy, print the URL: `start https`, or `start http` behind a proxy
#   launch.sh reload    check certificate and Caddyfile, let the running gateway read both again
#   launch.sh logs      follow the logs
#   launch.sh restarts  name the containers that died and that Docker started again
set -eu

COMPOSE_FILE=docker-compose.pypi.yml
COMPOSE_OLDEST=2.20

fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# With the profile of `keys`, so that all commands see that container, too.
profile=trust

compose() {
	docker compose --file "$COMPOSE_FILE" --env-file .pypi.env --profile "$profile" "$@"
}

# An attacker may have written into a log: a terminal gets it without characters that it would act on.
# Files and pipes get it unchanged, and at once: into those, tr would write in blocks of kilobytes.
printable() {
	if [ -t 1 ]; then
		LC_ALL=C tr -c '\11\12\40-\176' '?'
	else
		cat
	fi
}

require_docker() {
	command -v docker >/dev/null ||
		fail "docker is not installed: install Docker Engine, or run make pypi-local without it"
	docker info >/dev/null 2>&1 ||
		fail "the Docker engine does not answer: start it, or let $(id -un) use it (group docker)"
	version=$(docker compose version --short 2>/dev/null) ||
		fail "Docker has no compose plugin: install docker-compose-plugin $COMPOSE_OLDEST or newer"
	version=${version#v}
	lowest=$(printf '%s\n%s\n' "$COMPOSE_OLDEST" "$version" | sort -t . -k 1,1n -k 2,2n | head -n 1)
	[ "$lowest" = "$COMPOSE_OLDEST" ] ||
		fail "Docker Compose is $version: install $COMPOSE_OLDEST or newer"
}

prepare_folders() {
	mkdir -p pypi_data pypi_index pypi_web pypi_auth gateway/accounts gateway/live gateway_data
	# Fails without harm if the folders belong to another user: then they are closed already.
	chmod 700 pypi_auth gateway/accounts gateway_data 2>/dev/null || :
	# The gateway reads it as the owner of pypi_data, whichever user launches, with whatever umask.
	chmod 755 gateway/live 2>/dev/null || :
	if has_mirror; then
		# The gateway mounts only this folder of it. If it were missing, Docker would make it, as root's.
		mkdir -p public_data/public
		# `public` reads the policy as the owner of pypi_data, too.
		chmod -R a+rX public 2>/dev/null || :
	fi
}

# Where the gateway logs the uses of accounts, for the container `accounts`: if it were missing, Docker
# would make it, as root's. gateway_data may belong to the gateway's user, and be closed to this one.
prepare_uses() {
	mkdir -p gateway_data/uses 2>/dev/null ||
		compose --progress quiet run --rm --no-deps --no-TTY gateway mkdir -p /data/uses || exit 1
}

has_mirror() {
	grep -q '^  public:' "$COMPOSE_FILE"
}

# The containers run as the owner of pypi_data, or as a user of their own where that is root. Files that
# root restored or made must belong to that user, too. Root only looks for such files here, because
# containers write these folders and could swap a file before root changes it; the container `ownership`
# changes them. It must not read standard input, where a password may wait for another command.
give_folders() {
	[ "$(id -u)" = 0 ] || return 0
	mirrored=
	! has_mirror || mirrored=public_data
	# shellcheck disable=SC2086 # Nothing, or one word.
	foreign=$(find -H pypi_data pypi_index pypi_web pypi_auth gateway/accounts gateway_data $mirrored \
		\( ! -user "$PYPI_UID" -o ! -group "$PYPI_GID" \) -print 2>/dev/null | head -n 1)
	[ -z "$foreign" ] || compose --progress quiet run --rm --no-deps --no-TTY ownership </dev/null || :
}

# Prints a setting of .pypi.env as Compose reads it, or fails and says what to add there.
setting() {
	value=$(awk -v name="$1" '
		{ sub(/\r$/, ""); sub(/^(\357\273\277)?[ \t]*(export[ \t]+)?/, "") }
		match($0, "^" name "[ \t]*[=:][ \t]*") {
			value = substr($0, RLENGTH + 1)
			gsub(/^["\047]|["\047]?([ \t]+#.*|[ \t]*)$/, "", value)
		}
		END { print (name in ENVIRON ? ENVIRON[name] : value) }' .pypi.env)
	[ -n "$value" ] || fail ".pypi.env has no $1: add $2, as .pypi.env.example does"
	printf '%s\n' "$value"
}

dns_name() {
	setting pypi_url "the DNS name of the index"
}

# Behind a proxy the index itself has a port alone; the DNS name leads to the proxy.
address() {
	case $1 in
	http) port=$(setting http_port "the port for the proxy") && echo "http://127.0.0.1:$port/" ;;
	https) name=$(dns_name) && echo "https://$name/" ;;
	*) fail "usage: launch.sh start http|https" ;;
	esac
}

prepare() {
	require_docker
	[ -e .pypi.env ] || (umask 077 && cp .pypi.env.example .pypi.env)
	prepare_folders
}

build() {
	compose --progress quiet build --quiet private_pypi
	give_folders
}

start() {
	# A running container would keep using a folder that was deleted: make the containers anew.
	anew=
	[ -d pypi_index ] && [ -d pypi_web ] || anew=yes
	! has_mirror || [ -d public_data/public ] || anew=yes
	# A running `keys` would keep a folder that was deleted.
	[ -d gateway/accounts/issuers ] && had_issuers=yes || had_issuers=
	prepare
	url=$(address "$1") || exit 1
	prepare_uses
	build
	compose --progress quiet run --rm --no-deps --no-TTY private_pypi check || exit 1
	# Before the gateway starts, so that it never accepts accounts other than these. It prints the issuers
	# of trusted publishers: without any, there is no container `keys`.
	issuers=$(compose --progress quiet run --rm --no-deps --no-TTY accounts follow --once) || exit 1
	[ -n "$issuers" ] && [ -n "$had_issuers" ] ||
		compose --progress quiet rm --stop --force keys >/dev/null 2>&1 || :
	[ -n "$issuers" ] || profile=none
	check_certificate
	install_caddyfile
	if ! compose up --detach --wait --wait-timeout 120 --remove-orphans \
		${anew:+--force-recreate} 2>"$messages"; then
		cat "$messages" >&2
		explain_known
		compose ps --all >&2
		compose logs --tail 20 2>&1 | printable >&2
		compose exec --no-TTY private_pypi python -m private_pypi health >&2 || :
		fail "the index did not become healthy: its last log lines are above"
	fi
	# A gateway that ran already still serves the certificate that it read when it started.
	if has_certificate; then
		tell_gateway
	fi
	# A .pypi.env of an earlier version may lack the name: then this line is left out.
	if [ "$1" = http ] && name=$(dns_name 2>/dev/null); then
		echo "Let the proxy for $name forward its requests to this address."
	fi
	echo "The index is at $url"
}

reload() {
	prepare
	[ -n "$(compose ps --quiet --status running gateway)" ] ||
		fail "the gateway does not run: start it with make pypi-launch"
	check_certificate
	install_caddyfile
	tell_gateway
	echo "The gateway reads its Caddyfile and certificate again."
}

# Docker counts restarts since the launch, but `docker compose ps` does not show them.
restarts() {
	for container in $(compose ps --quiet); do
		docker inspect --format \
			'{{.RestartCount}} {{index .Config.Labels "com.docker.compose.service"}}' "$container"
	done | while read -r count service; do
		case $count in
		0) continue ;;
		1) times=once ;;
		*) times="$count times" ;;
		esac
		echo "$service died $times since its launch and was started again: make pypi-logs may tell why;" \
			"if it does not, raise its mem_limit in docker-compose.pypi.yml"
	done
}

# Lets Caddy read its configuration again, also when only the certificate changed. Not by `docker kill`:
# the engine would regard the gateway as stopped by hand, and not start it again after a crash.
tell_gateway() {
	compose --progress quiet exec --no-TTY gateway kill -USR1 1
}

has_certificate() {
	grep -q '^[[:space:]]*tls /data/certs/pair.pem /data/certs/pair.pem' gateway/Caddyfile
}

# The gateway serves a copy of the pair in certs/, since a wrong pair would keep it from starting again
# and from reading changed accounts. A pair that clients and Caddy accept replaces the copy; any other
# leaves it as it is.
check_certificate() {
	has_certificate || return 0
	name=$(dns_name) || exit 1
	mkdir -p certs
	compose --progress quiet run --rm --no-deps --no-TTY \
		--volume "$PWD/certs:/certs:ro" --volume "$PWD/gateway_data:/data" \
		private_pypi certificate /certs "$name" /data/certs/new.pem || exit 1
	# A pair that Caddy cannot load must not become the copy, even if Python can load it.
	said=$(compose --progress quiet run --rm --no-deps --no-TTY gateway sh -c '
		cd /data/certs
		printf ":443 {\n tls new.pem new.pem\n}\n" |
			caddy validate --config - --adapter caddyfile && exec mv new.pem pair.pem
		rm new.pem
		exit 1' 2>&1) || {
		printf '%s\n' "$said" >&2
		fail "the gateway cannot use the pair in certs/, see above: put another one there"
	}
}

# A syntax error in the Caddyfile that the gateway watches would end the watching, and changed accounts
# would no longer take effect. So only a file that Caddy accepts is copied there; otherwise a running
# gateway keeps the one it has.
install_caddyfile() {
	[ -f gateway/Caddyfile ] && [ -r gateway/Caddyfile ] ||
		fail "the gateway cannot use gateway/Caddyfile: $(id -un) finds no such file to read; restore it and launch again"
	# Caddy would accept a file that was cut off between two sites, and serve nothing. :2020 is the last.
	grep -q ':2020 {' gateway/Caddyfile ||
		fail "the gateway cannot use gateway/Caddyfile: it lacks the site :2020 for the health check, its end may be cut off; restore it and launch again"
	messages=$(mktemp)
	trap 'rm -f "$messages" gateway/live/Caddyfile.new' EXIT
	cp gateway/Caddyfile gateway/live/Caddyfile.new
	chmod 644 gateway/live/Caddyfile.new
	if ! compose --progress quiet run --rm --no-deps --no-TTY gateway \
		caddy validate --config /etc/caddy/Caddyfile.new --adapter caddyfile >"$messages" 2>&1; then
		cat "$messages" >&2
		explain_known
		fail "the gateway cannot use gateway/Caddyfile, see above: correct it and try again"
	fi
	mv gateway/live/Caddyfile.new gateway/live/Caddyfile
}

explain_known() {
	if grep -qE 'port is already allocated|address already in use' "$messages"; then
		fail "a port is taken, see above: stop what uses it, or change the port in .pypi.env"
	elif grep -qE 'network .* not found|could not be found' "$messages"; then
		fail "a network is missing, see above: start Traefik first, or create it with docker network create"
	fi
}

logs() {
	require_docker
	compose logs --follow --tail 100 2>&1 | printable
}

case ${1-} in
prepare)
	prepare
	build
	;;
start) start "${2-}" ;;
reload) reload ;;
logs) logs ;;
restarts) restarts ;;
*) fail "usage: launch.sh prepare|start|reload|logs|restarts" ;;
esac
