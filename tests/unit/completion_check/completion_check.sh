#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What config/completions/uidnfs ($1) answers on a line, as bash asks it.
set -u
source "$1"
failed=0

_uidnfs_mountinfo() {
    cat <<'TEXT'
31 1 0:30 / /data rw - ext4 /dev/sda1 rw
40 31 0:50 / /mnt/a rw,nosuid - fuse.uidnfs nas1:/exports/a rw
41 31 0:51 / /mnt/team\040share rw,nosuid - fuse.uidnfs nas1:/exports/a rw
42 31 0:52 / /mnt/back\134slash rw,nosuid - fuse.uidnfs nas1:/exports/a rw
43 31 0:53 / /mnt/v:1 rw,nosuid - fuse.uidnfs nas1:/exports/a rw
TEXT
}

# expect LINE COMPLETION...: the last word of LINE is being typed.
expect() {
    COMP_LINE=$1
    COMP_POINT=${#COMP_LINE}
    read -ra COMP_WORDS <<<"$COMP_LINE"
    [[ $COMP_LINE != *[[:space:]] ]] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    shift
    _uidnfs
    local found expected
    printf -v found '<%s>' ${COMPREPLY[@]+"${COMPREPLY[@]}"}
    printf -v expected '<%s>' "$@"
    [[ $found == "$expected" ]] && return
    echo "'$COMP_LINE': expected $expected, found $found" >&2
    failed=1
}

expect "uidnfs um" umount
expect "uidnfs umount " /mnt/a '/mnt/team\ share' '/mnt/back\\slash' /mnt/v:1
expect "uidnfs umount /mnt/te" '/mnt/team\ share'
expect 'uidnfs umount /mnt/team\ s' '/mnt/team\ share'
expect "uidnfs status /mnt/b" '/mnt/back\\slash'
expect "uidnfs adopt /data" ""
expect "uidnfs status /mnt/v:" 1
expect "uidnfs mount nas1:/a /mnt -o acc" access=
expect "uidnfs mount nas1:/a /mnt -o uid=1,access=st" strict
expect "uidnfs mount nas1:/a /mnt/team\\ share --fore" --foreground
exit $failed
