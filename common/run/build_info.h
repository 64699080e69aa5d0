/* Version and build, for --version, run.json and the handshake of ranks. */
#pragma once

const char *build_version(void); /* "0.1.0" */
/* Hash of the running executable, 16 hex digits: equal where the binary is the
 * same.  "unknown" where /proc is not mounted. */
const char *build_id(void);
