/* Standard output. */
#pragma once

#include "common/base/status.h"

/* Hands over what was printed.  What could not be (STATUS_BAD_INPUT) is told once. */
enum status output_flush(struct error *err);
