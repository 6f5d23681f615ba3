#!/usr/bin/env bash
# Makes every attack of docs/attacks.md by the tests that its rows name, and prints what became of each (`make attack`).
#
#     scripts/attack.sh
set -euo pipefail
cd "$(dirname "$0")/.."
results="$(mktemp)"
trap 'rm -f "$results"' EXIT

# The rows: number, attack, and `file` test, test; `file` test.
rows() {
	grep -E '^\| [AHO][0-9]+ \|' docs/attacks.md
}

# The names of the tests in files whose path begins like this.
named() {
	rows | grep -oE '`(src|tests)/[^`]*` [a-z0-9_, ]+' | grep -F "\`$1" | sed -E 's/^[^ ]* //; s/, */\n/g' | tr -d ' ' | sort -u
}

# Runs the tests of these names in one target of cargo, and keeps a line for each.
run() {
	local target="$1" path="$2"
	mapfile -t names < <(named "$path")
	[ "${#names[@]}" -gt 0 ] || return 0
	# shellcheck disable=SC2086 # Two words.
	"${CARGO:-cargo}" test --locked -p atlas-integration-operator $target -- --test-threads=6 "${names[@]}" |
		tee -a /dev/stderr | { grep -aE '^test .* \.\.\. ' || true; } >> "$results" || true
}

run --lib src/
run "--test e2e" tests/e2e/
run "--test client" tests/client/
run "--test chart" tests/chart/
run "--test security" tests/security.rs

tried=0 held=0
echo
while IFS='|' read -r _ number attack _ tests; do
	verdict=held
	for name in $(sed -E 's/`[^`]*`//g; s/[,;|]/ /g' <<< "$tests"); do
		lines="$(grep -E "^test ([a-z0-9_]+::)*$name(::[A-Za-z0-9_]+)? " "$results" || true)"
		if [ -z "$lines" ] || grep -qv ' \.\.\. ok$' <<< "$lines"; then
			verdict="CAME THROUGH, or was not made: $name"
		fi
	done
	tried=$((tried + 1))
	[ "$verdict" != held ] || held=$((held + 1))
	printf '%-5s %-100.100s %s\n' "${number// /}" "${attack# }" "$verdict"
done < <(rows)
echo
echo "$tried attacks tried, $held held"
[ "$tried" -eq "$held" ]
