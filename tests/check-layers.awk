# SPDX-License-Identifier: MIT
# check-layers.awk -v layers="base sys ..." FILES - a file may include its own layer or a lower one
BEGIN {
	n = split(layers, name)
	for (i = 1; i <= n; i++)
		rank[name[i]] = i
}
FNR == 1 {
	split(FILENAME, part, "/")
	mine = part[1] == "lib" ? part[2] : part[1]
}
/^[ \t]*#[ \t]*include[ \t]+"/ {
	path = $0
	sub(/^[^"]*"/, "", path)
	sub(/".*/, "", path)
	if (path == "bwt.h")
		next
	theirs = path ~ /\// ? substr(path, 1, index(path, "/") - 1) : ""
	if (!(theirs in rank)) {
		print FILENAME ":" FNR ": \"" path "\" does not begin with a layer"
		bad = 1
	} else if (rank[theirs] > rank[mine]) {
		print FILENAME ":" FNR ": " mine " includes " theirs
		bad = 1
	}
}
# Two doors: atomics through base/atomic.h, the system through lib/sys.
/^[ \t]*#[ \t]*include[ \t]+<stdatomic\.h>/ && FILENAME != "lib/base/atomic.h" {
	print FILENAME ":" FNR ": <stdatomic.h> outside base/atomic.h"
	bad = 1
}
/^[ \t]*#[ \t]*include[ \t]+<(fcntl|unistd|liburing|libpmem|sys\/(mman|stat|uio|statfs|statvfs|syscall|eventfd|file|vfs))\.h>/ && mine != "sys" {
	print FILENAME ":" FNR ": " $0 " outside lib/sys"
	bad = 1
}
END { exit bad }
