# SPDX-License-Identifier: MIT
#
# awk -v records=N [-v json=FILE] -f results.awk -f table.awk rows.txt results.txt - medians of all runs as one table
#
# A cell is the store's median and how far the runs spread, as percent of it above and below: 339k 4. Then how
# many times better libbwt is than the best peer (1.00 is equal, below 1 that peer is better, whether more or less
# is better in that row), and who won. rows.txt says what is printed and which goals there are. FILE gets
# the same as JSON, and every run beside it.

# Five places at most: 1234567 is 1.23M, 12345 is 12.3k
function short(number) {
	if (number < 0)
		return "-"
	if (number >= 1e6)
		return sprintf(number >= 1e8 ? "%.0fM" : number >= 1e7 ? "%.1fM" : "%.2fM", number / 1e6)
	if (number >= 1e3)
		return sprintf(number >= 1e5 ? "%.0fk" : number >= 1e4 ? "%.1fk" : "%.2fk", number / 1e3)
	return sprintf(number >= 100 ? "%.0f" : number >= 10 ? "%.1f" : number >= 0.1 || number == 0 ? "%.2f" : "%.4f", number)
}

function to_json(text) {
	if (json != "")
		print text > json
}

# Column titles, the first time that a row below them was measured.
function head(    i) {
	if (head_text == "")
		return
	printf "\n%-36s", head_text
	for (i = 1; i <= store_count; i++)
		printf "%10s   ", stores[i]
	printf "%6s  winner\n", "ratio"
	head_text = ""
}

# One row; @less: smaller is better. What the disk alone does ("raw") wins nothing.
function row(label, a_work, metric, less,    i, ours, theirs, best, peer, winner, ratio, cells, comma, measured) {
	best = peer = -1
	winner = "-"
	comma = ""
	for (i = 1; i <= store_count; i++) {
		theirs = median(stores[i], a_work, metric)
		cells = cells sprintf("%9s %-3s", short(theirs), theirs < 0 || count[stores[i], a_work, metric] < 2 ? "" : sprintf("%.0f", spread))
		if (theirs < 0)
			continue
		json_cells = json_cells comma quoted(stores[i]) sprintf(": {\"median\": %.6g, \"spread_percent\": %.2f, \"runs\": %d}", \
			theirs, spread, count[stores[i], a_work, metric])
		comma = ", "
		measured++
		if (i == 1)
			ours = theirs
		if (stores[i] == "raw")
			continue
		if (best < 0 || (less ? theirs < best : theirs > best)) {
			best = theirs
			winner = stores[i]
		}
		if (i > 1 && (peer < 0 || (less ? theirs < peer : theirs > peer)))
			peer = theirs
	}
	if (measured == 0)
		return
	head()
	ratio = "-"
	if (ours > 0 && peer > 0)
		ratio = sprintf("%.2f", less ? peer / ours : ours / peer)
	printf "%-36s%s%6s  %s\n", label, cells, ratio, (store_count > 1 ? winner : "-")
	to_json(json_comma "  {\"section\": " quoted(section) ", \"row\": " quoted(label) ", \"key\": " quoted(a_work) \
		", \"field\": " quoted(metric) ", \"better\": " quoted(less ? "less" : "more") ", \"winner\": " quoted(winner) \
		", \"ratio\": " (ratio == "-" ? "null" : ratio) ", \"stores\": {" json_cells "}}")
	json_comma = ","
	json_cells = ""
}

# The best of a set of stores, for more is better; -1 when none was measured.
function best_of(list, a_work, metric,    names, n, i, theirs, best) {
	best = -1
	n = split(list, names, " ")
	for (i = 1; i <= n; i++) {
		theirs = median(names[i], a_work, metric)
		if (theirs > best) {
			best = theirs
			best_name = names[i]
		}
	}
	return best
}

# "STORE KEY FIELD" or a number; a key that ends with * is the best number of threads. best_name says who it was.
function side(text,    parts, threads, best, one) {
	best_name = ""
	if (split(text, parts, " ") == 1)
		return parts[1] + 0
	if (parts[1] == "best")
		return best_of(LOGGED " " UNLOGGED, parts[2], parts[3])
	if (parts[1] == "logged")
		return best_of(LOGGED, parts[2], parts[3])
	if (parts[1] == "unlogged")
		return best_of(UNLOGGED, parts[2], parts[3])
	if (sub(/\*$/, "", parts[2])) {
		best = -1
		for (threads = 1; threads <= 256; threads *= 2) {
			one = median(parts[1], parts[2] threads, parts[3])
			best = one > best ? one : best
		}
		return best
	}
	return median(parts[1], parts[2], parts[3])
}

function goal(label, left, right, condition,    ours, theirs, ratio, wanted, reached) {
	ours = side(left)
	theirs = side(right)
	if (ours < 0 || theirs <= 0) {
		unmeasured++
		return
	}
	split(condition, wanted, " ")
	ratio = ours / theirs
	reached = wanted[1] == ">=" ? ratio >= wanted[2] + 0 : ratio <= wanted[2] + 0
	printf "  %-60s %s: %.3f of %s (%s against %s%s)\n", label, (reached ? "reached" : "missed"), \
		ratio, wanted[2], short(ours), short(theirs), best_name == "" ? "" : ", " best_name
	goal_count++
	reached_count += reached
	to_json(json_comma "  {\"goal\": " quoted(label) ", \"reached\": " (reached ? "true" : "false") \
		", \"ratio\": " sprintf("%.4f", ratio) ", \"wanted\": " quoted(condition) "}")
	json_comma = ","
}

function memory_line(    limit) {
	if (memory_pages == 0)
		return
	limit = 64 + 16 * memory_pages / 1048576
	printf "  %-60s %s: %.1f MiB of %.1f (%d pages)\n", "memory beside the mapped files", \
		(memory <= limit ? "reached" : "missed"), memory, limit, memory_pages
}

# One result line as a JSON object: quoted values stay, numbers too.
function run_as_json(rest,    at, name, text, out) {
	while ((at = index(rest, "=")) > 0) {
		name = trim(substr(rest, 1, at - 1))
		rest = substr(rest, at + 1)
		if (substr(rest, 1, 1) == "\"")
			text = substr(rest, 1, index(substr(rest, 2), "\"") + 1)
		else
			text = substr(rest, 1, index(rest " ", " ") - 1)
		rest = substr(rest, length(text) + 1)
		out = out (out == "" ? "" : ", ") quoted(name) ": " text
	}
	return "{" out "}"
}

BEGIN {
	LOGGED = "rocksdb wiredtiger leveldb bdb"
	UNLOGGED = "lmdb tkrzw"
}

END {
	print machine
	print "median and spread (percent) of each store; ratio: how many times better libbwt is than the best peer (more, faster, or smaller)"
	to_json("{\"machine\": " quoted(machine) ",\n\"rows\": [")
	for (s = 1; s <= spec_count; s++) {
		split(spec[s], parts, "|")
		kind = trim(parts[1])
		if (kind == "head") {
			section = head_text = trim(parts[2])
			sub(/%N/, records, section)
			head_text = section
			store_count = split(trim(parts[3]), stores, " ")
		} else if (kind == "row") {
			sub(/%N/, records, parts[2])
			row(trim(parts[2]), trim(parts[3]), trim(parts[4]), trim(parts[5]) == "less")
		}
	}
	to_json("],\n\"goals\": [")
	json_comma = ""
	print "\ngoals"
	for (s = 1; s <= spec_count; s++) {
		split(spec[s], parts, "|")
		if (trim(parts[1]) == "goal")
			goal(trim(parts[2]), trim(parts[3]), trim(parts[4]), trim(parts[5]))
	}
	memory_line()
	printf "  %d of %d reached\n", reached_count, goal_count
	if (unmeasured > 0)
		printf "  %d not measured\n", unmeasured
	print "\nsettings"
	n = split("bwt lmdb rocksdb wiredtiger leveldb bdb tkrzw raw", stores, " ")
	for (i = 1; i <= n; i++) {
		if ((stores[i], "none") in settings)
			print "  " stores[i] ": " settings[stores[i], "none"]
		if ((stores[i], "sync") in settings)
			print "  " stores[i] ", durable: " settings[stores[i], "sync"]
	}
	to_json("],\n\"runs\": [")
	for (i = 1; i <= run_count; i++)
		to_json(" " run_as_json(text_of_run[i]) (i < run_count ? "," : ""))
	to_json("]}")
}
