/* Version and build, for --version, run.json and the handshake of ranks. */
#pragma once

const char *build_version(void); /* "0.1.0" */
/* The first 16 hex digits of the running executable's SHA-256: equal where the binary is
 * the same.  "unknown" where /proc is not mounted. */
const char *build_id(void);
