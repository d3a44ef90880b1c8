/* SPDX-License-Identifier: MIT */
/*
 * trace.h - static probes for perf, bpftrace and SystemTap
 *
 * With BWT_HAVE_SDT, which the Makefile sets where <sys/sdt.h> exists (package systemtap-sdt-dev), a probe is one no-op
 * instruction and a note in the file, provider "bwt": bpftrace -e 'usdt:libbwt.so:bwt:splits { @ = count(); }', and
 * tools/bwt-events.bt. Elsewhere it is nothing; the arguments are still type-checked.
 */
#ifndef BWT_BASE_TRACE_H
#define BWT_BASE_TRACE_H

#ifdef BWT_HAVE_SDT
#include <sys/sdt.h>
#define TRACE1(name, a) DTRACE_PROBE1(bwt, name, a)
#define TRACE2(name, a, b) DTRACE_PROBE2(bwt, name, a, b)
#else
#define TRACE1(name, a) ((void)sizeof(a))
#define TRACE2(name, a, b) ((void)sizeof(a), (void)sizeof(b))
#endif

#endif
