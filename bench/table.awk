# SPDX-License-Identifier: MIT
#
# table.awk -v records=N results.txt - medians of all runs as one table, with ratios and the floor
#
# A cell is the store's median; the number after it says how many times better libbwt is there
# (1.00 is equal, below 1 the peer is better), whether more or less is better in that row.

# The value of "name=" in the current line, without its quotes; a space is in front of each name.
function field(name,    at, rest) {
	at = index(line, " " name "=")
	if (at == 0)
		return ""
	rest = substr(line, at + length(name) + 2)
	if (substr(rest, 1, 1) == "\"") {
		rest = substr(rest, 2)
		return substr(rest, 1, index(rest, "\"") - 1)
	}
	sub(/ .*/, "", rest)
	return rest
}

function keep(metric,    key) {
	key = store SUBSEP work SUBSEP metric
	value[key, ++count[key]] = field(metric) + 0
}

function median(key,    i, j, n, moved, sorted) {
	n = count[key]
	if (n == 0)
		return -1
	for (i = 1; i <= n; i++) {
		moved = value[key, i]
		for (j = i - 1; j > 0 && sorted[j] > moved; j--)
			sorted[j + 1] = sorted[j]
		sorted[j + 1] = moved
	}
	return sorted[int((n + 1) / 2)]
}

function get(a_store, a_work, metric) {
	return median(a_store SUBSEP a_work SUBSEP metric)
}

# Five places at most: 1234567 is 1.23M, 12345 is 12.3k
function short(number) {
	if (number < 0)
		return "-"
	if (number >= 1e6)
		return sprintf(number >= 1e8 ? "%.0fM" : number >= 1e7 ? "%.1fM" : "%.2fM", number / 1e6)
	if (number >= 1e3)
		return sprintf(number >= 1e5 ? "%.0fk" : number >= 1e4 ? "%.1fk" : "%.2fk", number / 1e3)
	return sprintf(number >= 100 ? "%.0f" : number >= 10 ? "%.1f" : "%.2f", number)
}

# Column titles; @columns: the raw write is the last store and belongs to the commits only.
function head(title, columns,    i) {
	store_count = columns
	printf "\n%-34s", title
	for (i = 1; i <= store_count; i++)
		printf i == 1 ? "%8s" : "%15s", stores[i]
	printf "  winner\n"
}

# One row; @less: smaller is better. Only measured cells can win.
function row(label, a_work, metric, less,    i, ours, theirs, best, winner, ratio) {
	ours = get(stores[1], a_work, metric)
	best = -1
	winner = "-"
	printf "%-34s", label
	for (i = 1; i <= store_count; i++) {
		theirs = get(stores[i], a_work, metric)
		if (theirs >= 0 && stores[i] != "raw" && (best < 0 || (less ? theirs < best : theirs > best))) {
			best = theirs
			winner = stores[i]
		}
		if (i == 1) {
			printf "%8s", short(theirs)
			continue
		}
		ratio = "-"
		if (ours > 0 && theirs > 0)
			ratio = sprintf("%.2f", less ? theirs / ours : ours / theirs)
		printf "%8s %6s", short(theirs), ratio
	}
	printf "  %s\n", winner
}

# Transactions refused for each one that committed.
function conflict_row(label, a_work,    i, ops, text) {
	printf "%-34s", label
	for (i = 1; i <= store_count; i++) {
		ops = get(stores[i], a_work, "ops")
		text = "-"
		if (ops > 0)
			text = sprintf("%.4f", get(stores[i], a_work, "conflicts") / ops)
		printf i == 1 ? "%8s" : "%15s", text
	}
	printf "\n"
}

function txn_rows(    threads) {
	split("bwt-txn rocksdb-txn wiredtiger", stores, " ")
	head("4 gets and puts, zipfian 0.99", 3)
	for (threads = 2; threads <= 8; threads += 6) {
		row("commits/s, " threads " threads", "txn:" threads ":4", "ops_per_s", 0)
		row("p99, microseconds", "txn:" threads ":4", "p99_us", 1)
		conflict_row("conflicts for each commit", "txn:" threads ":4")
	}
}

function floor_line(label, ours, theirs, wanted,    ratio) {
	if (ours <= 0 || theirs <= 0) {
		printf "  %-58s not measured\n", label
		return
	}
	ratio = ours / theirs
	printf "  %-58s %s: %.3f of %.2f (%s against %s)\n", label, (ratio >= wanted ? "reached" : "missed"), \
		ratio, wanted, short(ours), short(theirs)
}

function memory_line(    limit) {
	if (memory_pages == 0) {
		printf "  %-58s not measured\n", "memory beside the mapped files"
		return
	}
	limit = 64 + 16 * memory_pages / 1048576
	printf "  %-58s %s: %.1f MiB of %.1f (%d pages)\n", "memory beside the mapped files", \
		(memory <= limit ? "reached" : "missed"), memory, limit, memory_pages
}

{
	line = " " $0
	store = field("backend")
	work = field("workload") ":" field("threads") (field("batch") > 1 ? ":" field("batch") : "")
	keep("ops_per_s")
	keep("entries_per_s")
	keep("p50_us")
	keep("p99_us")
	keep("p999_us")
	keep("max_us")
	keep("conflicts")
	keep("ops")
	keep("cpu_us_per_op")
	keep("write_amp")
	keep("device_write_amp")
	keep("space_amp")
	keep("anon_mib")
	if (!(work in seen_work))
		seen_work[work] = 1
	settings[store, field("sync")] = field("store")
	if (store == "bwt" && field("sync") == "none" && field("anon_mib") + 0 > memory) {
		memory = field("anon_mib") + 0
		memory_pages = field("bwt_pages") + 0
	}
	machine = field("cpu") ", " field("kernel") ", " field("file_system") ", " field("build")
}

END {
	split("bwt lmdb rocksdb wiredtiger leveldb bdb raw", stores, " ")
	print machine
	print "after each peer's figure: how many times better libbwt is (more, faster, or smaller)"

	head("operations/s, " records " records", 6)
	row("load, random order", "load:1", "ops_per_s", 0)
	row("load, key order", "load-seq:1", "ops_per_s", 0)
	row("point reads, 1 thread", "read:1", "ops_per_s", 0)
	row("point reads, 2 threads", "read:2", "ops_per_s", 0)
	row("reads, 64 keys a call, 1 thread", "read-many:1", "ops_per_s", 0)
	row("reads, 64 keys a call, 2 threads", "read-many:2", "ops_per_s", 0)
	row("random puts, 1 thread", "put:1", "ops_per_s", 0)
	row("random puts, 2 threads", "put:2", "ops_per_s", 0)
	row("scans of 100, entries, 1 thread", "scan:1", "entries_per_s", 0)
	row("scans of 100, entries, 2 threads", "scan:2", "entries_per_s", 0)
	row("full scan, entries, 1 thread", "scan-full:1", "entries_per_s", 0)

	head("operations/s, YCSB, 1M records", 6)
	for (threads = 1; threads <= 2; threads++)
		for (i = 1; i <= 6; i++) {
			letter = substr("abcdef", i, 1)
			if (("ycsb-" letter ":" threads) in seen_work)
				row("YCSB " toupper(letter) ", " threads " thread" (threads > 1 ? "s" : ""), \
					"ycsb-" letter ":" threads, "ops_per_s", 0)
		}

	head("durable commits/s, 100k records", 7)
	for (threads = 1; threads <= 32; threads *= 2)
		if (("commit:" threads) in seen_work)
			row(threads " thread" (threads > 1 ? "s" : ""), "commit:" threads, "ops_per_s", 0)
	head("durable commits, microseconds", 7)
	for (threads = 1; threads <= 32; threads *= 2)
		if (("commit:" threads) in seen_work) {
			row("p50, " threads " thread" (threads > 1 ? "s" : ""), "commit:" threads, "p50_us", 1)
			row("p99", "commit:" threads, "p99_us", 1)
			row("p99.9", "commit:" threads, "p999_us", 1)
			row("max", "commit:" threads, "max_us", 1)
		}

	head("processor time, microseconds/op", 6)
	row("load, random order", "load:1", "cpu_us_per_op", 1)
	row("point reads, 2 threads", "read:2", "cpu_us_per_op", 1)
	row("random puts, 2 threads", "put:2", "cpu_us_per_op", 1)
	row("durable commits, 1 thread", "commit:1", "cpu_us_per_op", 1)
	row("durable commits, 32 threads", "commit:32", "cpu_us_per_op", 1)

	head("bytes", 6)
	row("to the device per byte put, load", "load:1", "device_write_amp", 1)
	row("  counted by process", "load:1", "write_amp", 1)
	row("the same, random puts", "put:2", "device_write_amp", 1)
	row("  counted by process", "put:2", "write_amp", 1)
	row("the same, commits, 1 thread", "commit:1", "device_write_amp", 1)
	row("on disk per live byte, load", "load:1", "space_amp", 1)
	row("on disk per live byte, random puts", "put:2", "space_amp", 1)
	row("memory of its own, MiB, load", "load:1", "anon_mib", 1)

	txn_rows()
	split("bwt lmdb rocksdb wiredtiger leveldb bdb raw", stores, " ")

	print "\nfloor (issue 2 asks this of 10M records; here are " records ")"
	floor_line("point reads, 2 threads, against LMDB", get("bwt", "read:2", "ops_per_s"), \
		get("lmdb", "read:2", "ops_per_s"), 1)
	floor_line("random puts without sync, 2 threads, against RocksDB", get("bwt", "put:2", "ops_per_s"), \
		get("rocksdb", "put:2", "ops_per_s"), 1)
	floor_line("durable commits, 1 thread, against the raw write", get("bwt", "commit:1", "ops_per_s"), \
		get("raw", "commit:1", "ops_per_s"), 0.9)
	memory_line()
	floor_line("transaction of one put, against the plain put", get("bwt-txn", "put:1", "ops_per_s"), \
		get("bwt", "put:1", "ops_per_s"), 1 / 1.3)
	floor_line("read-only begin, get, end, against the plain get", get("bwt-txn", "read:1", "ops_per_s"), \
		get("bwt", "read:1", "ops_per_s"), 1 / 1.3)
	floor_line("10 puts a transaction, 2 threads, against RocksDB", get("bwt", "put:2:10", "ops_per_s"), \
		get("rocksdb", "put:2:10", "ops_per_s"), 1.5)

	print "\nsettings"
	for (i = 1; i <= 7; i++) {
		if ((stores[i], "none") in settings)
			print "  " stores[i] ": " settings[stores[i], "none"]
		if ((stores[i], "sync") in settings)
			print "  " stores[i] ", durable: " settings[stores[i], "sync"]
	}
}
