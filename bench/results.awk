# SPDX-License-Identifier: MIT
#
# results.awk - reads rows.txt and results.txt; for -f before table.awk and plot.awk
#
# spec[1..spec_count] are the lines of the first file. Of the second, median() knows every store, key and field.

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

function trim(text) {
	gsub(/^ +| +$/, "", text)
	return text
}

function keep(metric, text,    key) {
	if (text == "")
		return
	key = store SUBSEP work SUBSEP metric
	value[key, ++count[key]] = text + 0
}

# Median of the runs, -1 without any; spread is set to half of the range, percent of it.
function median(a_store, a_work, metric,    key, i, j, n, moved, sorted, middle) {
	key = a_store SUBSEP a_work SUBSEP metric
	n = count[key]
	spread = 0
	if (n == 0)
		return -1
	for (i = 1; i <= n; i++) {
		moved = value[key, i]
		for (j = i - 1; j > 0 && sorted[j] > moved; j--)
			sorted[j + 1] = sorted[j]
		sorted[j + 1] = moved
	}
	middle = sorted[int((n + 1) / 2)]
	if (middle > 0)
		spread = (sorted[n] - sorted[1]) / 2 / middle * 100
	return middle
}

# A quoted JSON string; the texts have no quotes or backslashes.
function quoted(text) {
	return "\"" text "\""
}

FNR == NR {
	if (split($0, parts, "|") > 1)
		spec[++spec_count] = $0
	next
}

{
	line = " " $0
	store = field("backend")
	work = (field("label") == "" ? "" : field("label") "/") field("workload") ":" field("threads")
	n = split("ops_per_s entries_per_s p50_us p90_us p99_us p999_us p9999_us max_us cpu_us_per_op write_amp" \
		" device_write_amp space_amp anon_mib data_growth bwt_group_size bwt_arena_over_live bwt_cleaner_share", metrics, " ")
	for (i = 1; i <= n; i++)
		keep(metrics[i], field(metrics[i]))
	if (field("ops") + 0 > 0)
		keep("conflicts_per_op", field("conflicts") / field("ops"))
	if (field("label") == "")
		settings[store, field("sync")] = field("store")
	if (store == "bwt" && field("sync") == "none" && field("anon_mib") + 0 > memory) {
		memory = field("anon_mib") + 0
		memory_pages = field("bwt_pages") + 0
	}
	machine = field("cpu") ", " field("kernel") ", " field("file_system") ", " field("build")
	text_of_run[++run_count] = line
}
