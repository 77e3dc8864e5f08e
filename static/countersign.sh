#!/bin/sh
# Countersign's client for images that have only curl: exchanges the job's ID token for a token that carries a human's
# approval, waiting for people where the rule wants them. What `countersign token` does, with the same lines and exits.
#
#   curl -fsSL "$COUNTERSIGN_URL/countersign.sh" | sh -s -- --audience sts.amazonaws.com --out aws.jwt
#
# --audience A    whom the token is for; once for each token       [COUNTERSIGN_AUDIENCE, parted by spaces]
# --out F         where it goes, mode 0600; once for each audience [COUNTERSIGN_OUT; one audience without it: stdout]
# --url U         the server                                       [COUNTERSIGN_URL]
# --id-token-env N  the variable that holds the job's ID token     [COUNTERSIGN_ID_TOKEN]
# --wait DURATION wait no longer than this, such as 10m
# --ca-file F     the authority of the server's certificate, PEM   [COUNTERSIGN_CA_FILE]
#
# Exit: 0 yes, 1 no, 2 usage, 3 try again, 4 the server's fault.
# Needs: POSIX sh with printf built in, curl 7.55 or newer, sed, tr, od, mktemp. Tokens never enter an argument list or the output.

# Everything is a function, so that half a download does nothing.
main() {
    set -eu
    umask 077
    url=${COUNTERSIGN_URL:-} wait_for='' ca_file=${COUNTERSIGN_CA_FILE:-} token_variable=COUNTERSIGN_ID_TOKEN
    audiences='' outs='' newline='
'
    while [ $# -gt 0 ]; do
        case $1 in
        --audience | --out | --url | --id-token-env | --wait | --ca-file)
            [ $# -ge 2 ] || usage "\`$1\` without a value" "give it one"
            ;;
        *) usage "unknown argument \`$1\`" "see the head of countersign.sh" ;;
        esac
        case $1 in
        --audience) audiences=$audiences$2$newline ;;
        --out) outs=$outs$2$newline ;;
        --url) url=$2 ;;
        --id-token-env) token_variable=$2 ;;
        --wait) wait_for=$2 ;;
        --ca-file) ca_file=$2 ;;
        esac
        shift 2
    done
    [ -n "$audiences" ] || audiences=$(by_lines "${COUNTERSIGN_AUDIENCE:-}")$newline
    [ -n "$outs" ] || outs=$(by_lines "${COUNTERSIGN_OUT:-}")$newline
    check_arguments
    work=$(mktemp -d) || fail 2 "no temporary folder" "set TMPDIR to a folder that can be written"
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    keep_collector
    collect_all
}

# ---- arguments ----------------------------------------------------------------------------------------------------

by_lines() { printf '%s' "$1" | sed 's/[[:space:]]\{1,\}/\
/g'; }

count() { printf '%s' "$1" | sed '/^$/d' | sed -n '$='; }

# nth N TEXT: the Nth line that is not empty.
nth() { printf '%s' "$2" | sed '/^$/d' | sed -n "${1}p"; }

check_arguments() {
    [ -n "$url" ] || usage "no server named" "set COUNTERSIGN_URL to the server's address, or give --url"
    url=${url%/}
    case $url in
    *[@?#\ ]*) usage "the server's URL has more than scheme, host and path" "write the server's own address: https://sign.example.com" ;;
    https://?*) protocol='=https' ;;
    http://localhost | http://localhost[:/]* | http://127.0.0.1 | http://127.0.0.1[:/]* | 'http://[::1]' | 'http://[::1]'[:/]*) protocol='=http' ;;
    *) usage "\`$url\` is not https; the token would travel readable" "write the server's own address: https://sign.example.com" ;;
    esac
    host=${url#*://} host=${host%%/*}
    case $host in *]) ;; *) host=${host%:*} ;; esac
    case $wait_for in
    '') ;;
    0[0-9]* | *[!0-9]*[smhd] | [smhd] | *[!smhd] | ????????*) usage "\`$wait_for\` is not a duration" "write a whole number and s, m, h or d, such as 10m" ;;
    *s) wait_for=${wait_for%s} ;;
    *m) wait_for=$((${wait_for%m} * 60)) ;;
    *h) wait_for=$((${wait_for%h} * 3600)) ;;
    *d) wait_for=$((${wait_for%d} * 86400)) ;;
    esac
    case $token_variable in '' | [0-9]* | *[!A-Za-z0-9_]*) usage "\`$token_variable\` is not a variable's name" "write --id-token-env NAME" ;; esac
    cure="add to the job: id_tokens: { $token_variable: { aud: \"<the server's URL>\" } }"
    eval "token=\${$token_variable:-}"
    [ -n "$token" ] || usage "\`$token_variable\` is not set" "$cure"
    case $token in
    *[!A-Za-z0-9_.-]* | *.*.*.*) usage "\`$token_variable\` holds no ID token" "$cure" ;;
    *.*.*) ;;
    *) usage "\`$token_variable\` holds no ID token" "$cure" ;;
    esac
    wanted=$(count "$audiences") files=$(count "$outs")
    [ "${wanted:-0}" -gt 0 ] || usage "no audience" "say whom the token is for: --audience sts.amazonaws.com --out aws.jwt"
    [ "$wanted" -le 8 ] || usage "$wanted audiences; 8 is the most" "ask in two calls, each with an \`id_tokens:\` entry of its own"
    if [ "${files:-0}" -ne "$wanted" ] && [ "${files:-0}.$wanted" != 0.1 ]; then
        usage "$wanted audiences and ${files:-0} files" "give one --out for each --audience, in their order"
    fi
    at=1
    while [ "$at" -le "${files:-0}" ]; do
        out=$(nth "$at" "$outs")
        [ -d "$(folder_of "$out")" ] || usage "\`$(folder_of "$out")\` is not a folder" "make the folder first, or let --out name a file elsewhere"
        [ ! -d "$out" ] || usage "\`$out\` is not a file's name" "let --out name a file"
        at=$((at + 1))
    done
    command -v curl >/dev/null || usage "curl is not here" "use an image that has curl"
}

folder_of() { case $1 in */*) printf '%s' "${1%/*}/" ;; *) printf . ;; esac; }

# ---- the collector: random, so that only this job gets its token; kept until every token is written -------------------

keep_collector() {
    kept='' resumed=no
    if [ "${files:-0}" -gt 0 ]; then
        first=$(nth 1 "$outs")
        kept=$(folder_of "$first")/.${first##*/}.countersign-collector
    fi
    if [ -n "$kept" ] && { [ -e "$kept" ] || [ -h "$kept" ]; }; then
        collector=$(read_collector) || usage "\`$kept\` is not a collector of ours" "remove it; if that was not you, look at the job"
        resumed=yes
    else
        collector=$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')
        [ ${#collector} -eq 64 ] || fail 4 "this system gives no random bytes" "run the job on another machine"
        if [ -n "$kept" ]; then
            # noclobber: made here or not at all, and never through a link.
            (set -C && printf '%s\n' "$collector" >"$kept") 2>/dev/null ||
                usage "\`$kept\` cannot be written" "let --out name a file in a folder that can be written"
        fi
    fi
    printf 'Idempotency-Key: %s\n' "$collector" >"$work/collector"
}

read_collector() {
    [ -f "$kept" ] && [ ! -h "$kept" ] || return 1
    # shellcheck disable=SC2012 # the mode column is what is wanted, of one file whose name is known
    case $(ls -ld "$kept") in -rw-------* | -r--------*) ;; *) return 1 ;; esac
    text=$(cat "$kept")
    case $text in '' | *[!A-Za-z0-9_-]*) return 1 ;; esac
    [ ${#text} -ge 32 ] && [ ${#text} -le 128 ] || return 1
    printf '%s' "$text"
}

forget_collector() { [ -z "$kept" ] || rm -f "$kept"; }

# ---- one call -------------------------------------------------------------------------------------------------------

# call HOLD AUDIENCE...: sets status (000 where nothing answered) and curl_exit; the answer is in $work.
call() {
    hold=$1
    shift
    left=$#
    while [ "$left" -gt 0 ]; do
        set -- "$@" --data-urlencode "audience=$1"
        shift
        left=$((left - 1))
    done
    [ "$hold" -eq 0 ] || set -- "$@" -H "Prefer: wait=$hold"
    [ -z "$ca_file" ] || set -- "$@" --cacert "$ca_file"
    : >"$work/answer"
    : >"$work/head"
    curl_exit=0
    status=$(printf '%s' "$token" | curl -q -sS --proto "$protocol" --max-redirs 0 --connect-timeout 10 --max-time $((hold + 20)) \
        -o "$work/answer" -D "$work/head" -w '%{http_code}' -H @"$work/collector" -H 'Accept: application/json' \
        --data-urlencode 'grant_type=urn:ietf:params:oauth:grant-type:token-exchange' \
        --data-urlencode 'subject_token_type=urn:ietf:params:oauth:token-type:id_token' \
        --data-urlencode 'subject_token@-' \
        --data-urlencode 'requested_token_type=urn:ietf:params:oauth:token-type:jwt' \
        "$@" "$url/token" 2>"$work/said") || curl_exit=$?
    escape_quotes
}

# JSON strings hold no control characters: two of them stand in for \\ and \" until a string is cut out.
escape_quotes() {
    tr -d '\000-\037' <"$work/answer" | sed "s/\\\\\\\\/$soh/g;s/\\\\\"/$stx/g" >"$work/body"
    printf '\n' >>"$work/body"
}

soh=$(printf '\001')
stx=$(printf '\002')

unescape() {
    sed "s|\\\\/|/|g;s/\\\\u00[bB]7/·/g;s/\\\\u0026/\\&/g;s/\\\\u0027/'/g;s/\\\\u003[cC]/</g;s/\\\\u003[eE]/>/g;s/\\\\[nrtbf]/ /g;s/$soh/\\\\/g;s/$stx/\"/g" | tr -d '\177'
}

# member NAME: a string of the answer.
member() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p" "$work/body" | unescape; }

# number NAME: a whole number of the answer.
number() { sed -n "s/.*\"$1\":\\([0-9]\\{1,9\\}\\)[,}].*/\\1/p" "$work/body"; }

entry() { sed -n 's/.*"log":{[^}]*"index":\([0-9]\{1,18\}\)[,}].*/\1/p' "$work/body"; }

# The strings of the answer's summary, one a line.
summary() {
    sed -n 's/.*"summary":\["//p' "$work/body" | sed 's/"\].*//' | sed 's/","/\
/g' | unescape
}

header() { sed -n "s/^$1: *//p" "$work/head" | tr -d '\r' | sed -n '$p'; }

# ---- collecting -------------------------------------------------------------------------------------------------------

collect_all() {
    begun=$(date +%s) since='' ends='' told='' asked=$resumed approved=no compared=no
    at=1
    while [ "$at" -le "$wanted" ]; do
        audience=$(nth "$at" "$audiences")
        if [ "$at" -eq 1 ]; then
            # The first call names all: they are one request, signed once.
            set --
            rest=1
            while [ "$rest" -le "$wanted" ]; do
                set -- "$@" "$(nth "$rest" "$audiences")"
                rest=$((rest + 1))
            done
        else
            set -- "$audience"
        fi
        obtain "$@"
        asked=yes
        tell_approval
        out=$(nth "$at" "$outs")
        put "$out"
        at=$((at + 1))
    done
    forget_collector
}

# obtain AUDIENCE...: calls until there is a token; every other end exits.
obtain() {
    failures=0 failing='' slower=0
    while :; do
        now=$(date +%s)
        next_hold
        call "$hold_next" "$@"
        spent=$(($(date +%s) - now))
        case $curl_exit in
        0) ;;
        5 | 6 | 7 | 16 | 18 | 28 | 35 | 52 | 55 | 56 | 92)
            busy "$host does not answer: $(said)"
            continue
            ;;
        51 | 58 | 60 | 77 | 83) usage "$host cannot be trusted: $(said)" "check the URL, or give the authority's certificate: --ca-file FILE" ;;
        *) usage "$host cannot be called: $(said)" "check the URL: $url should be a Countersign" ;;
        esac
        compare_clocks
        case $status in
        200) return ;;
        408 | 425 | 429 | 502 | 503 | 504)
            busy "$host: $(busy_reason)"
            continue
            ;;
        esac
        failures=0 failing=''
        case $status.$(member error) in
        4??.authorization_pending)
            tell_pending
            interval=$(($(or 5 "$(number interval)") + slower))
            [ "$hold_next" -eq 0 ] || [ "$spent" -ge "$interval" ] || sleep $((interval - spent))
            ;;
        4??.slow_down)
            slower=$((slower + 5))
            tell_pending
            sleep $(($(or 5 "$(number interval)") + slower))
            ;;
        4??.?*) refused ;;
        5??.?*) fail 4 "$host: $(or 'the server gave no reason' "$(member error_description)") ($(or "$(member error)" "$(member error_code)"))$(call_id ' · call ')" \
            "$(or 'run the same command again; tell the operator the call' "$(member hint)")" ;;
        *) usage "$host: it answered $status without a reason" "check the URL: $url should be a Countersign" ;;
        esac
    done
}

# or DEFAULT TEXT
or() { if [ -n "$2" ]; then printf '%s' "$2"; else printf '%s' "$1"; fi; }

said() { sed -n 's/^curl: ([0-9]*) //p' "$work/said" | sed -n 1p; }

call_id() {
    id=$(member call_id)
    [ -z "$id" ] || printf '%s%s' "$1" "$id"
}

# Sets hold_next: not held before the request is known, then until the next line is due.
next_hold() {
    hold_next=0
    [ -n "$since" ] || return 0
    if [ $((now - told)) -ge 60 ]; then
        say "still waiting · $(clock $((ends - now))) left"
        told=$now
    fi
    hold_next=$((told + 60 - now))
    [ "$hold_next" -le 50 ] || hold_next=50
    if [ -n "$wait_for" ]; then
        left=$((begun + wait_for - now))
        [ "$left" -gt 0 ] || fail 3 "not approved yet after $(humane $((now - begun)))" "run the same command again; the request lives $(clock $((ends - now))) more"
        [ "$hold_next" -le "$left" ] || hold_next=$left
    fi
}

tell_pending() {
    asked=yes
    now=$(date +%s)
    ends=$((now + $(or 0 "$(number expires_in)")))
    [ -z "$since" ] || return 0
    since=$now told=$now
    summary | show
}

tell_approval() {
    after=''
    [ -z "$since" ] || after=" after $(humane $(($(date +%s) - since)))"
    since=''
    about=$(summary | sed -n '/^valid /p')
    lines=$(summary | sed '/^valid /d')
    if [ "$approved" = yes ]; then lines=$(printf '%s\n' "$lines" | sed '/^approved/d'); fi
    approved=yes
    [ -z "$lines" ] || printf '%s\n' "$lines" | sed "s/^approved/approved$after/" | show
}

# put FILE: the token, whole or not at all; without a file to stdout.
put() {
    sed -n 's/.*"access_token":"\([A-Za-z0-9_.-]\{1,\}\)".*/\1/p' "$work/body" | tr -d '\n' >"$work/token"
    [ -s "$work/token" ] || usage "$host: its answer is no token" "check the URL: $url should be a Countersign"
    if [ -z "$1" ]; then
        cat "$work/token"
        printf '\n'
        return
    fi
    fresh=$(folder_of "$1")/.${1##*/}.countersign-new
    rm -f "$fresh"
    if ! { (set -C && cat "$work/token" >"$fresh") 2>/dev/null && mv -f "$fresh" "$1"; }; then
        rm -f "$fresh"
        usage "\`$1\` cannot be written" "make room or name another file, then run the same command again: it gets the same token"
    fi
    rm -f "$work/token" "$work/answer"
    say "token written to $1${about:+ · $about}"
}

refused() {
    code=$(or "$(member error)" "$(member error_code)")
    say "refused: $(or 'the server gave no reason' "$(member error_description)") ($code)"
    summary | sed 's/^ */  /' | show
    hint=$(member hint)
    [ -z "$hint" ] || say "  cure: $hint"
    number=$(entry)
    operators=${number:+countersign rule explain $number}$(call_id "${number:+ · }call ")
    [ -z "$operators" ] || say "  operators: $operators"
    # Over for this job, or nothing stands under this collector.
    case $(member error) in access_denied | expired_token) forget_collector ;; *) [ "$asked" = yes ] || forget_collector ;; esac
    exit 1
}

busy_reason() {
    reason=$(member error_description)
    if [ -n "$reason" ]; then printf '%s (%s)' "$reason" "$(member error_code)"; else printf 'it answered %s' "$status"; fi
}

# busy WHAT: says so once, pauses 1, 2, 4 ... 30 s, gives up when nothing can come of it any more.
busy() {
    now=$(date +%s)
    failures=$((failures + 1))
    [ -n "$failing" ] || failing=$now
    give_up=$((failing + 120))
    [ -z "$since" ] || [ "$ends" -le "$give_up" ] || give_up=$ends
    if [ -n "$wait_for" ] && [ $((begun + wait_for)) -lt "$give_up" ]; then give_up=$((begun + wait_for)); fi
    [ "$now" -lt "$give_up" ] || fail 3 "$1" "check the server and the way to it, then run the same command again"
    if [ "$failures" -eq 1 ]; then say "$1; trying again for $(humane $((give_up - now)))"; fi
    pause=1 step=1
    while [ "$step" -lt "$failures" ] && [ "$pause" -lt 30 ]; do
        pause=$((pause * 2)) step=$((step + 1))
    done
    [ "$pause" -le 30 ] || pause=30
    after=$(header '[Rr][Ee][Tt][Rr][Yy]-[Aa][Ff][Tt][Ee][Rr]')
    case $after in '' | *[!0-9]* | ????*) ;; *)
        after=$(decimal "$after")
        [ "$after" -le 120 ] || after=120
        [ "$after" -le "$pause" ] || pause=$after
        ;;
    esac
    [ "$pause" -le $((give_up - now)) ] || pause=$((give_up - now))
    sleep "$pause"
}

# ---- clocks ---------------------------------------------------------------------------------------------------------

decimal() {
    digits=$1
    while [ "${digits#0}" != "$digits" ] && [ ${#digits} -gt 1 ]; do digits=${digits#0}; done
    printf '%s' "$digits"
}

# seconds DAY MONTH YEAR HH:MM:SS: since 1970, by the count of days in the proleptic Gregorian calendar.
seconds() {
    day=$(decimal "$1") year=$3
    case $2 in Jan) month=1 ;; Feb) month=2 ;; Mar) month=3 ;; Apr) month=4 ;; May) month=5 ;; Jun) month=6 ;; Jul) month=7 ;;
    Aug) month=8 ;; Sep) month=9 ;; Oct) month=10 ;; Nov) month=11 ;; Dec) month=12 ;; *) return 1 ;; esac
    # The year begins in March, so that its odd day comes last.
    [ "$month" -gt 2 ] || year=$((year - 1)) month=$((month + 12))
    days=$((365 * year + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + day - 719469))
    hour=$(decimal "${4%%:*}") rest=${4#*:}
    printf '%s' $((days * 86400 + hour * 3600 + $(decimal "${rest%%:*}") * 60 + $(decimal "${rest#*:}")))
}

compare_clocks() {
    [ "$compared" = no ] && [ "$hold_next" -eq 0 ] || return 0
    compared=yes
    theirs=$(header '[Dd][Aa][Tt][Ee]')
    case $theirs in
    ???,\ [0-9][0-9]\ ???\ [0-9][0-9][0-9][0-9]\ [0-9][0-9]:[0-9][0-9]:[0-9][0-9]\ GMT) ;;
    *) return 0 ;;
    esac
    theirs=${theirs#*, } theirs=${theirs% GMT}
    # shellcheck disable=SC2086 # four words on purpose; their form was checked above
    theirs=$(seconds $theirs) || return 0
    apart=$(($(date +%s) - theirs))
    if [ "$apart" -gt 5 ]; then say "this machine's clock is $apart s ahead of $host's"; fi
    if [ "$apart" -lt -5 ]; then say "this machine's clock is $((-apart)) s behind $host's"; fi
}

# clock SECONDS: 12:00
clock() {
    [ "$1" -gt 0 ] || set -- 0
    if [ "$1" -ge 3600 ]; then printf '%d:%02d:%02d' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60)); else printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); fi
}

# humane SECONDS: 9 s, 15 min
humane() {
    if [ "$1" -lt 120 ] && { [ "$1" -eq 0 ] || [ $(($1 % 60)) -ne 0 ]; }; then printf '%s s' "$1"; return; fi
    if [ "$1" -lt 7200 ]; then printf '%s min' $(($1 / 60)); else printf '%s h' $(($1 / 3600)); fi
}

# ---- words ----------------------------------------------------------------------------------------------------------

show() { cat >&2; }
say() { printf '%s\n' "$1" >&2; }
fail() {
    say "$2"
    say "  cure: $3"
    exit "$1"
}
usage() { fail 2 "$1" "$2"; }

main "$@"
