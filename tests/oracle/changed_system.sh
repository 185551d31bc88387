#!/bin/sh
# Run a command with a changed view of the system's libraries: plays an older or a barer distribution.
#
#   changed_system.sh [--hide NAME]... [--replace FILE NAME]... -- COMMAND ARGUMENTS...
#
# NAME is a file name in the folder that holds the system's libc. Needs root: the view is an overlay in a private mount
# namespace, which ends with the command. A hidden name that is a link hides what it points to as well.
set -eu
if [ "${CHANGED_SYSTEM:-}" != 1 ]; then CHANGED_SYSTEM=1 exec unshare -m "$0" "$@"; fi
libraries=$(dirname "$(ldconfig -p | sed -n 's/^[[:space:]]*libc\.so\.6 .*=> //p' | head -n 1)")
[ "$libraries" != . ] || { echo "changed_system.sh: ldconfig knows no libc" >&2; exit 2; }
libraries=$(readlink -f "$libraries")
upper=$(mktemp -d)
mount -t tmpfs none "$upper"
mkdir "$upper/files" "$upper/work"
while [ "$1" != -- ]; do
  case $1 in
    --hide)
      for name in "$2" "$(basename "$(readlink -f "$libraries/$2")")"; do
        if [ -e "$libraries/$name" ] && [ ! -e "$upper/files/$name" ]; then mknod "$upper/files/$name" c 0 0; fi
      done
      shift 2 ;;
    --replace)
      cp "$2" "$upper/files/$(basename "$(readlink -f "$libraries/$3")")"
      shift 3 ;;
    *)
      echo "changed_system.sh: $1: not an option" >&2
      exit 2 ;;
  esac
done
shift
mount -t overlay overlay -o "lowerdir=$libraries,upperdir=$upper/files,workdir=$upper/work" "$libraries"
exec "$@"
