/* How far the margins of a reward model can be trusted on held-out pairs. */
#pragma once

#include "common/base/buf.h"

/* Wilson's interval at 95 % of a share of which `successes` of n were seen. */
void wilson_interval(int successes, int n, double *low, double *high);

/* Accuracy of n margins (chosen less rejected score) with its interval, and a table:
 * pairs sorted by the size of their margin and cut into parts of equal number; what the
 * model says of a part, the mean of sigmoid(|margin|), beside the share of it in which
 * the higher score is the chosen one.  Ties count as wrong.  Logged, and appended to
 * json as members of an object without its braces. */
void calibration_report(const double *margins, int n, struct buf *json);
