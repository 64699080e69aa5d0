/* Commands that know several roles or none. */
#pragma once

int ppo_main(int argc, char **argv);	 /* the ring */
int inspect_main(int argc, char **argv); /* a directory or a .safetensors file */
int status_main(int argc, char **argv);	 /* a run */
