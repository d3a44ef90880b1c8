# SPDX-License-Identifier: MIT
#
# awk -v dir=DIR -f results.awk -f plot.awk rows.txt results.txt | gnuplot - pictures of a run of run.sh
#
# threads.svg: throughput by number of threads. latency.svg: latency by percentile. amplification.svg: bytes written
# for each byte put, and on disk for each live one. A curve without a figure is left out, and so is a picture without a curve.

function start(name, height) {
	printf "set terminal svg size 900,%d font 'sans-serif,13' background '#ffffff'\n", height
	printf "set output '%s/%s.svg'\n", dir, name
	print "set key outside right top\nset grid linecolor '#cccccc'\nunset mytics"
}

# The curves of one panel: data blocks, then the command. @points are the x values, "%" in @key or @metric stands for them.
function panel(title, stores, key, metric, points, labels, scale,    n, i, j, m, names, xs, texts, y, a_key, a_metric, rows, plots) {
	n = split(stores, names, " ")
	m = split(points, xs, " ")
	split(labels, texts, " ")
	plots = ""
	for (i = 1; i <= n; i++) {
		rows = ""
		for (j = 1; j <= m; j++) {
			a_key = key
			a_metric = metric
			sub(/%/, xs[j], a_key)
			sub(/%/, xs[j], a_metric)
			y = median(names[i], a_key, a_metric)
			if (y > 0)
				rows = rows j " " sprintf("%.6g", y) " \"" texts[j] "\"\n"
		}
		if (rows == "")
			continue
		block++
		printf "$data%d << EOD\n%sEOD\n", block, rows
		plots = plots (plots == "" ? "plot " : ", ") sprintf("$data%d using 1:2:xtic(3) with lines linewidth 1.5 linecolor %d title '%s'", \
			block, i, names[i])
	}
	if (plots == "")
		return
	print "set title '" title "'"
	print scale == "log" ? "set logscale y\nset yrange [*:*]\nset format y '%g'" : "unset logscale\nset yrange [0:*]\nset format y '%.0s%c'"
	print "set xrange [0.8:" m + 0.2 "]"
	print plots
}

# Bars of one field, a group for each key, a bar for each store.
function bars(title, stores, keys, labels, metric,    n, i, j, m, names, list, texts, y, row, any, plots) {
	n = split(stores, names, " ")
	m = split(keys, list, " ")
	split(labels, texts, "|")
	block++
	split("", any)
	printf "$data%d << EOD\n", block
	for (j = 1; j <= m; j++) {
		row = "\"" texts[j] "\""
		for (i = 1; i <= n; i++) {
			y = median(names[i], list[j], metric)
			row = row " " (y > 0 ? sprintf("%.4g", y) : "NaN")
			any[i] += y > 0
		}
		print row
	}
	print "EOD"
	print "set title '" title "'\nset logscale y\nset yrange [0.1:*]\nset xrange [*:*]\nset format y '%g'\nset style data histogram\nset style histogram clustered gap 1"
	print "set style fill solid 0.8"
	for (i = 1; i <= n; i++)
		if (any[i] > 0)
			plots = plots (plots == "" ? "plot " : ", ") sprintf("$data%d using %d:xtic(1) linecolor %d title '%s'", block, i + 1, i, names[i])
	if (plots != "")
		print plots
}

END {
	all = "bwt lmdb rocksdb wiredtiger leveldb bdb tkrzw"
	numbers = "1 2 4 8 16 32"
	start("threads", 760)
	print "set multiplot layout 3,1\nset rmargin 16"
	panel("reads/s by threads, 1M records", all, "scale/read:%", "ops_per_s", numbers, numbers)
	panel("puts/s by threads, no sync, 1M records", all, "scale/put:%", "ops_per_s", numbers, numbers)
	panel("durable commits/s by threads, 100k records", all " raw", "commit:%", "ops_per_s", numbers, numbers)
	print "unset multiplot"
	start("latency", 760)
	print "set multiplot layout 3,1\nset rmargin 16"
	ranks = "p50 p90 p99 p999 p9999 max"
	texts = "50% 90% 99% 99.9% 99.99% max"
	panel("microseconds of a get, 2 threads", all, "read:2", "%_us", ranks, texts, "log")
	panel("microseconds of a put, no sync, 2 threads", all, "put:2", "%_us", ranks, texts, "log")
	panel("microseconds of a durable commit, 8 threads", all " raw", "commit:8", "%_us", ranks, texts, "log")
	print "unset multiplot"
	start("amplification", 560)
	print "set multiplot layout 2,1\nset rmargin 16"
	bars("bytes to the device for each byte put", all, "load:1 put:2 commit:1 durable/put:1", "load|random puts|durable commits|durable batches of 100", "device_write_amp")
	bars("bytes on disk for each live byte", all, "load:1 put:2", "load|random puts", "space_amp")
	print "unset multiplot"
}
