/* Version and build, for --version, run.json and the handshake of ranks. */
#pragma once

const char *build_version(void); /* "0.1.0" */
const char *build_id(void);	 /* hash of sources and flags, in hex */
