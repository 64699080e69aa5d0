/* Commands that are not a training loop: those know several roles or none. */
#pragma once

int ppo_main(int argc, char **argv);	  /* the ring */
int generate_main(int argc, char **argv); /* an actor alone */
int logprobs_main(int argc, char **argv); /* a frozen policy alone */
int score_main(int argc, char **argv);	  /* a reward model alone */
int tokenize_main(int argc, char **argv); /* a tokenizer alone */
int merge_main(int argc, char **argv);	  /* an adapter into its base */
int plan_main(int argc, char **argv);	  /* a config alone */
int inspect_main(int argc, char **argv);  /* a directory or a .safetensors file */
int status_main(int argc, char **argv);	  /* a run */
int report_main(int argc, char **argv);	  /* a run as a page */
