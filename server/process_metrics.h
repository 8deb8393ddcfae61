/*
 * process_metrics - what Prometheus' client libraries say of every process: processor
 * time, memory, files, threads, start (read from /proc/self; what cannot be read is left
 * out).
 *
 * Threads: any. Ownership: nothing is kept.
 */
#ifndef SLUICE_SERVER_PROCESS_METRICS_H
#define SLUICE_SERVER_PROCESS_METRICS_H

#include "server/metrics_text.h"

void process_metrics_write(const struct metrics_text *text);

#endif
