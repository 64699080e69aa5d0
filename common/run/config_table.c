/* The table of configuration keys, and looking things up in it.
 *
 * Rows stand in the order in which a configuration is printed, the keys of a
 * section together. */
#include "common/run/config_table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/run/options.h"

#define PRETRAIN COMMAND_PRETRAIN
#define REWARD_TRAIN COMMAND_REWARD_TRAIN
#define PPO COMMAND_PPO
#define SFT COMMAND_SFT
#define DPO COMMAND_DPO
#define CLASSIFY COMMAND_CLASSIFY
#define TRAIN (PRETRAIN | SFT | CLASSIFY | REWARD_TRAIN | DPO)
#define ALL (TRAIN | PPO)

/* The largest integer below which every double is exact, and limits that keep
 * products of sizes far from overflow. */
#define MAX_EXACT 9007199254740991.0
#define MAX_COUNT 1e9
#define MAX_SIZE 1048576.0
#define MAX_REAL 1e30

#define AT(field) offsetof(struct run_config, field)

enum { MIN_CONTAINED = 4 };

/* Rows of one optimizer; eps and the defaults differ. */
#define OPTIMIZER(prefix, field, who, eps_default, from)                                           \
	{.name = prefix ".name",                                                                   \
	 .type = KEY_CHOICE,                                                                       \
	 .commands = who,                                                                          \
	 .offset = AT(field.name),                                                                 \
	 .fallback = "\"adamw\"",                                                                  \
	 .inherit = from("name"),                                                                  \
	 .choices = "adamw|sgd",                                                                   \
	 .help = "adamw (decoupled weight decay) or sgd with momentum"},                           \
		{.name = prefix ".learning_rate",                                                  \
		 .type = KEY_NUMBER,                                                               \
		 .commands = who,                                                                  \
		 .offset = AT(field.learning_rate),                                                \
		 .fallback = "0.0001",                                                             \
		 .inherit = from("learning_rate"),                                                 \
		 .min = 0,                                                                         \
		 .max = 1e3,                                                                       \
		 .help = "at the schedule's top"},                                                 \
		{.name = prefix ".beta1",                                                          \
		 .type = KEY_NUMBER,                                                               \
		 .commands = who,                                                                  \
		 .offset = AT(field.beta1),                                                        \
		 .fallback = "0.9",                                                                \
		 .inherit = from("beta1"),                                                         \
		 .min = 0,                                                                         \
		 .max = 1,                                                                         \
		 .flags = KEY_BELOW_MAX,                                                           \
		 .help = "adamw: decay of the first moment"},                                      \
		{.name = prefix ".beta2",                                                          \
		 .type = KEY_NUMBER,                                                               \
		 .commands = who,                                                                  \
		 .offset = AT(field.beta2),                                                        \
		 .fallback = "0.999",                                                              \
		 .inherit = from("beta2"),                                                         \
		 .min = 0,                                                                         \
		 .max = 1,                                                                         \
		 .flags = KEY_BELOW_MAX,                                                           \
		 .help = "adamw: decay of the second moment"},                                     \
		{.name = prefix ".eps",                                                            \
		 .type = KEY_NUMBER,                                                               \
		 .commands = who,                                                                  \
		 .offset = AT(field.eps),                                                          \
		 .fallback = eps_default,                                                          \
		 .inherit = from("eps"),                                                           \
		 .min = 1e-30, /* of float32 too it is then more than 0 */                         \
		 .max = 1,                                                                         \
		 .help = "adamw: added to the root of the second moment"},                         \
		{.name = prefix ".weight_decay",                                                   \
		 .type = KEY_NUMBER,                                                               \
		 .commands = who,                                                                  \
		 .offset = AT(field.weight_decay),                                                 \
		 .fallback = "0",                                                                  \
		 .inherit = from("weight_decay"),                                                  \
		 .min = 0,                                                                         \
		 .max = 1e3,                                                                       \
		 .help = "of matrices and embeddings, not of biases and norms"},                   \
		{.name = prefix ".momentum",                                                       \
		 .type = KEY_NUMBER,                                                               \
		 .commands = who,                                                                  \
		 .offset = AT(field.momentum),                                                     \
		 .fallback = "0",                                                                  \
		 .inherit = from("momentum"),                                                      \
		 .min = 0,                                                                         \
		 .max = 1,                                                                         \
		 .flags = KEY_BELOW_MAX,                                                           \
		 .help = "sgd only"},                                                              \
	{                                                                                          \
		.name = prefix ".max_grad_norm", .type = KEY_NUMBER, .commands = who,              \
		.offset = AT(field.max_grad_norm), .fallback = "1.0",                              \
		.inherit = from("max_grad_norm"), .min = 0, .max = MAX_REAL,                       \
		.help = "longer gradients are scaled down to it; 0 = off"                          \
	}
#define FROM_NOTHING(key) NULL
#define FROM_OPTIMIZER(key) "optimizer." key

/* clang-format off */
const struct config_key config_keys[] = {
	{.name = "run.dir", .type = KEY_TEXT, .commands = ALL, .offset = AT(run.dir),
	 .flags = KEY_MAY_CHANGE, .help = "directory of the run; the same one resumes it"},
	{.name = "run.seed", .type = KEY_INT, .commands = ALL, .offset = AT(run.seed),
	 .fallback = "1", .min = 0, .max = MAX_EXACT,
	 .help = "key of every random number"},
	{.name = "run.isa", .type = KEY_CHOICE, .commands = ALL, .offset = AT(run.isa),
	 .fallback = "\"auto\"", .choices = "auto|portable|avx2|avx512",
	 .help = "kernels; auto: the best that every rank's CPU has"},
	{.name = "run.threads", .type = KEY_INT, .commands = ALL, .offset = AT(run.threads),
	 .fallback = "0", .min = 0, .max = 1024, .flags = KEY_MAY_CHANGE,
	 .help = "threads of a rank; 0: the cores of its node shared among its ranks"},
	{.name = "run.heartbeat_timeout", .type = KEY_NUMBER, .commands = ALL,
	 .offset = AT(run.heartbeat_timeout), .fallback = "30", .min = 0, .max = 1e6,
	 .flags = KEY_MAY_CHANGE,
	 .help = "seconds that a rank may be silent before it is named and the job ends; 0: any"},

	{.name = "roles.learner", .type = KEY_INT, .commands = PPO, .offset = AT(roles.learner),
	 .fallback = "1", .min = 1, .max = MAX_SIZE, .flags = KEY_MAY_CHANGE | KEY_WITH_SECTION,
	 .help = "learner ranks; divides ppo.lanes"},
	{.name = "roles.actor", .type = KEY_INT, .commands = PPO, .offset = AT(roles.actor),
	 .fallback = "1", .min = 1, .max = MAX_SIZE, .flags = KEY_MAY_CHANGE | KEY_WITH_SECTION,
	 .help = "actor ranks"},
	{.name = "roles.reward", .type = KEY_INT, .commands = PPO, .offset = AT(roles.reward),
	 .fallback = "1", .min = 1, .max = MAX_SIZE, .flags = KEY_MAY_CHANGE | KEY_WITH_SECTION,
	 .help = "reward ranks; without roles they are dealt for any number of ranks"},

	{.name = "model.path", .type = KEY_TEXT, .commands = PRETRAIN, .offset = AT(model.path),
	 .fallback = "null", .help = "checkpoint to start from; this or model.create is needed"},
	{.name = "model.path", .type = KEY_TEXT, .commands = TRAIN & ~PRETRAIN,
	 .offset = AT(model.path), .help = "checkpoint to start from"},
	{.name = "model.create", .type = KEY_OBJECT, .commands = PRETRAIN,
	 .offset = AT(model.create), .fallback = "null",
	 .help = "a new model: family and dimensions as in a config.json, and tokenizer"},
	{.name = "model.tokenizer", .type = KEY_TEXT, .commands = TRAIN,
	 .offset = AT(model.tokenizer), .fallback = "null",
	 .help = "directory of another tokenizer than the model's own"},
	{.name = "model.save_dtype", .type = KEY_CHOICE, .commands = ALL,
	 .offset = AT(model.save_dtype), .fallback = "\"loaded\"", .choices = "loaded|f32|bf16",
	 .flags = KEY_MAY_CHANGE,
	 .help = "type of the result's weights; loaded: of each that in the checkpoint it started from"},
	{.name = "policy.path", .type = KEY_TEXT, .commands = PPO, .offset = AT(policy.path),
	 .help = "checkpoint of the policy as it starts"},
	{.name = "reference.path", .type = KEY_TEXT, .commands = PPO | DPO,
	 .offset = AT(reference.path), .fallback = "null",
	 .help = "frozen reference; null: the policy as it starts"},
	{.name = "reference.weights", .type = KEY_CHOICE, .commands = PPO,
	 .offset = AT(reference.weights), .fallback = "\"f32\"", .choices = "f32|bf16",
	 .inherit = "rollout.weights",
	 .help = "how its weights are held: bf16 rounds them, to half the memory"},
	OPTIMIZER("optimizer", optimizer, TRAIN, "0.00000001", FROM_NOTHING),
	OPTIMIZER("optimizer", optimizer, PPO, "0.00001", FROM_NOTHING),

	{.name = "critic.path", .type = KEY_TEXT, .commands = PPO, .offset = AT(critic.path),
	 .fallback = "null",
	 .help = "start of the critic; null: the first reward model that reads the policy's "
		 "ids, else the policy"},
	{.name = "critic.lora", .type = KEY_BOOL, .commands = PPO, .offset = AT(critic.lora),
	 .fallback = "true", .help = "with lora: an adapter of its own for the critic"},
	OPTIMIZER("critic.optimizer", critic.optimizer, PPO, "0.00001", FROM_OPTIMIZER),

	{.name = "lora.path", .type = KEY_TEXT, .commands = ALL, .offset = AT(lora.path),
	 .fallback = "null", .flags = KEY_WITH_SECTION,
	 .help = "adapter to go on from, whose own config says the rest, which what is said here "
		 "must agree with (in ppo it is for the critic's new one); null: a new one"},
	{.name = "lora.r", .type = KEY_INT, .commands = ALL, .offset = AT(lora.r),
	 .fallback = "8", .min = 1, .max = 65536, .flags = KEY_WITH_SECTION | KEY_NEW_ADAPTER,
	 .help = "rank"},
	{.name = "lora.lora_alpha", .type = KEY_NUMBER, .commands = ALL,
	 .offset = AT(lora.lora_alpha), .fallback = "8", .min = 0, .max = 1e6,
	 .flags = KEY_WITH_SECTION | KEY_NEW_ADAPTER | KEY_ABOVE_MIN,
	 .help = "what an adapter adds is scaled by lora_alpha / r"},
	{.name = "lora.use_rslora", .type = KEY_BOOL, .commands = ALL,
	 .offset = AT(lora.use_rslora), .fallback = "false",
	 .flags = KEY_WITH_SECTION | KEY_NEW_ADAPTER, .help = "scaled by lora_alpha / sqrt(r)"},
	{.name = "lora.lora_dropout", .type = KEY_NUMBER, .commands = ALL,
	 .offset = AT(lora.lora_dropout), .fallback = "0", .min = 0, .max = 0,
	 .flags = KEY_WITH_SECTION, .help = "dropout is off in every forward pass"},
	{.name = "lora.target_modules", .type = KEY_NAMES, .commands = ALL,
	 .offset = AT(lora.target_modules), .fallback = "null",
	 .flags = KEY_WITH_SECTION | KEY_NEW_ADAPTER,
	 .help = "names of linear layers, or \"all-linear\"; null: queries and values, as PEFT"},
	{.name = "lora.modules_to_save", .type = KEY_NAMES, .commands = ALL,
	 .offset = AT(lora.modules_to_save), .fallback = "null",
	 .flags = KEY_WITH_SECTION | KEY_NEW_ADAPTER,
	 .help = "modules trained whole beside the adapter; a score head always is"},

	{.name = "reward.sources", .type = KEY_SOURCES, .commands = PPO,
	 .flags = KEY_MAY_CHANGE, .help = "who judges: a list of reward models and rules"},
	{.name = "reward.missing_eos_penalty", .type = KEY_NUMBER, .commands = PPO,
	 .offset = AT(reward.missing_eos_penalty), .fallback = "null", .min = -MAX_REAL,
	 .max = MAX_REAL,
	 .help = "replaces the score of a completion without end token; null: off"},

	{.name = "data.prompts", .type = KEY_TEXT, .commands = PPO, .offset = AT(data.prompts),
	 .help = "JSONL file of prompts"},
	{.name = "data.train", .type = KEY_TEXT, .commands = TRAIN, .offset = AT(data.train),
	 .help = "training rows: JSON lines, or for pretrain a plain text"},
	{.name = "data.eval", .type = KEY_TEXT, .commands = TRAIN, .offset = AT(data.eval),
	 .fallback = "null", .help = "held-out rows, as data.train"},
	{.name = "data.max_length", .type = KEY_INT, .commands = ALL,
	 .offset = AT(data.max_length), .fallback = "512", .min = 1, .max = MAX_SIZE,
	 .help = "longest sequence, or longest prompt of ppo, in tokens"},
	{.name = "data.too_long", .type = KEY_CHOICE, .commands = ALL,
	 .offset = AT(data.too_long), .fallback = "\"error\"",
	 .choices = "error|skip|truncate", .help = "what to do about longer rows"},
	{.name = "data.truncation_side", .type = KEY_CHOICE, .commands = TRAIN,
	 .offset = AT(data.truncation_side), .fallback = "\"right\"", .choices = "right|left",
	 .help = "where truncate cuts; left keeps a row's end, and BOS in front of it"},
	{.name = "data.truncation_side", .type = KEY_CHOICE, .commands = PPO,
	 .offset = AT(data.truncation_side), .fallback = "\"left\"", .choices = "right|left",
	 .help = "where truncate cuts; left keeps a prompt's end, and BOS in front of it"},
	{.name = "data.chat", .type = KEY_TEXT, .commands = ALL, .offset = AT(data.chat),
	 .fallback = "\"auto\"",
	 .help = "format of rows of messages: auto is the checkpoint's; or chatml, llama-3, ..."},
	{.name = "data.shuffle", .type = KEY_BOOL, .commands = ALL, .offset = AT(data.shuffle),
	 .fallback = "true", .help = "a new order in each epoch, keyed by run.seed"},
	{.name = "data.packing", .type = KEY_BOOL, .commands = PRETRAIN,
	 .offset = AT(data.packing), .fallback = "true",
	 .help = "join texts and cut them to data.max_length; rows of ids stay whole"},
	{.name = "data.append_eos", .type = KEY_BOOL, .commands = PRETRAIN | SFT,
	 .offset = AT(data.append_eos), .fallback = "true",
	 .help = "end token after each text"},
	{.name = "data.append_eos", .type = KEY_BOOL, .commands = REWARD_TRAIN | DPO,
	 .offset = AT(data.append_eos), .fallback = "false",
	 .help = "end token after each text: chosen, rejected, completion"},

	{.name = "rollout.batch_size", .type = KEY_INT, .commands = PPO,
	 .offset = AT(rollout.batch_size), .fallback = "64", .min = 1, .max = MAX_SIZE,
	 .help = "completions of an iteration"},
	{.name = "rollout.samples_per_prompt", .type = KEY_INT, .commands = PPO,
	 .offset = AT(rollout.samples_per_prompt), .fallback = "1", .min = 1, .max = MAX_SIZE,
	 .help = "of these, completions of one prompt; divides rollout.batch_size"},
	{.name = "rollout.max_new_tokens", .type = KEY_INT, .commands = PPO,
	 .offset = AT(rollout.max_new_tokens), .fallback = "64", .min = 1, .max = MAX_SIZE,
	 .help = "longest completion"},
	{.name = "rollout.min_new_tokens", .type = KEY_INT, .commands = PPO,
	 .offset = AT(rollout.min_new_tokens), .fallback = "0", .min = 0, .max = MAX_SIZE,
	 .help = "no end token is sampled before this many"},
	{.name = "rollout.temperature", .type = KEY_NUMBER, .commands = PPO,
	 .offset = AT(rollout.temperature), .fallback = "1.0", .min = 1e-6, .max = 1e6,
	 .help = "divides the logits"},
	{.name = "rollout.weights", .type = KEY_CHOICE, .commands = PPO,
	 .offset = AT(rollout.weights), .fallback = "\"f32\"", .choices = "f32|bf16",
	 .help = "the policy's weights in products: bf16 rounds them, for actors in half the "
		 "memory, and trains them in float32"},
	{.name = "rollout.kv_cache_mb", .type = KEY_INT, .commands = PPO,
	 .offset = AT(rollout.kv_cache_mb), .fallback = "0", .min = 0, .max = MAX_COUNT,
	 .flags = KEY_MAY_CHANGE,
	 .help = "most memory for keys and values on an actor, MiB; 0: a quarter of its node's, "
		 "shared among the node's ranks"},

	{.name = "ppo.iterations", .type = KEY_INT, .commands = PPO,
	 .offset = AT(ppo.iterations), .fallback = "100", .min = 1, .max = MAX_COUNT,
	 .flags = KEY_MAY_CHANGE, .help = "length of the run"},
	{.name = "ppo.epochs", .type = KEY_INT, .commands = PPO, .offset = AT(ppo.epochs),
	 .fallback = "4", .min = 1, .max = 1e6,
	 .help = "passes over the completions of an iteration"},
	{.name = "ppo.minibatches", .type = KEY_INT, .commands = PPO,
	 .offset = AT(ppo.minibatches), .fallback = "1", .min = 1, .max = MAX_SIZE,
	 .help = "optimizer steps of a pass"},
	{.name = "ppo.lanes", .type = KEY_INT, .commands = PPO, .offset = AT(train.lanes),
	 .fallback = "8", .min = 1, .max = 64,
	 .help = "parts whose gradients are summed by a fixed tree; a power of two"},
	{.name = "ppo.recompute", .type = KEY_BOOL, .commands = PPO,
	 .offset = AT(train.recompute), .fallback = "false", .flags = KEY_MAY_CHANGE,
	 .help = "keep the layers' inputs alone and compute the rest again: less memory, the same "
		 "bits, a third more work"},
	{.name = "ppo.cliprange", .type = KEY_NUMBER, .commands = PPO,
	 .offset = AT(ppo.cliprange), .fallback = "0.2", .min = 0, .max = MAX_REAL,
	 .flags = KEY_ABOVE_MIN, .help = "of the probability ratio around 1"},
	{.name = "ppo.cliprange_value", .type = KEY_NUMBER, .commands = PPO,
	 .offset = AT(ppo.cliprange_value), .fallback = "0.2", .min = 0, .max = MAX_REAL,
	 .help = "of the value around the old one; 0 = off"},
	{.name = "ppo.vf_coef", .type = KEY_NUMBER, .commands = PPO, .offset = AT(ppo.vf_coef),
	 .fallback = "0.1", .min = 0, .max = MAX_REAL, .help = "weight of the value loss"},
	{.name = "ppo.gamma", .type = KEY_NUMBER, .commands = PPO, .offset = AT(ppo.gamma),
	 .fallback = "1.0", .min = 0, .max = 1, .help = "discount"},
	{.name = "ppo.lam", .type = KEY_NUMBER, .commands = PPO, .offset = AT(ppo.lam),
	 .fallback = "0.95", .min = 0, .max = 1, .help = "lambda of GAE"},
	{.name = "ppo.whiten_rewards", .type = KEY_BOOL, .commands = PPO,
	 .offset = AT(ppo.whiten_rewards), .fallback = "false",
	 .help = "divide rewards by their deviation"},
	{.name = "ppo.whiten_advantages", .type = KEY_BOOL, .commands = PPO,
	 .offset = AT(ppo.whiten_advantages), .fallback = "true",
	 .help = "advantages of mean 0 and deviation 1"},
	{.name = "ppo.verify", .type = KEY_INT, .commands = PPO, .offset = AT(ppo.verify),
	 .fallback = "4", .min = 0, .max = MAX_SIZE,
	 .help = "completions of the first minibatch whose log-probabilities learner and "
		 "actor must agree on to the bit"},
	{.name = "ppo.kl.coef", .type = KEY_NUMBER, .commands = PPO, .offset = AT(ppo.kl.coef),
	 .fallback = "0.05", .min = 0, .max = MAX_REAL,
	 .help = "weight of the KL penalty against the reference"},
	{.name = "ppo.kl.controller", .type = KEY_CHOICE, .commands = PPO,
	 .offset = AT(ppo.kl.controller), .fallback = "\"fixed\"", .choices = "fixed|adaptive",
	 .help = "adaptive: the coefficient follows ppo.kl.target"},
	{.name = "ppo.kl.target", .type = KEY_NUMBER, .commands = PPO,
	 .offset = AT(ppo.kl.target), .fallback = "6.0", .min = 0, .max = MAX_REAL,
	 .help = "adaptive: nats a sequence"},
	{.name = "ppo.kl.horizon", .type = KEY_NUMBER, .commands = PPO,
	 .offset = AT(ppo.kl.horizon), .fallback = "10000", .min = 0, .max = MAX_REAL,
	 .help = "adaptive: episodes"},

	{.name = "train.steps", .type = KEY_INT, .commands = TRAIN, .offset = AT(train.steps),
	 .fallback = "1000", .min = 1, .max = MAX_COUNT, .flags = KEY_MAY_CHANGE,
	 .help = "length of the run"},
	{.name = "train.batch_size", .type = KEY_INT, .commands = TRAIN,
	 .offset = AT(train.batch_size), .fallback = "32", .min = 1, .max = MAX_SIZE,
	 .help = "sequences of a step, or pairs"},
	{.name = "train.lanes", .type = KEY_INT, .commands = TRAIN, .offset = AT(train.lanes),
	 .fallback = "8", .min = 1, .max = 64,
	 .help = "parts whose gradients are summed by a fixed tree; a power of two"},
	{.name = "train.recompute", .type = KEY_BOOL, .commands = TRAIN,
	 .offset = AT(train.recompute), .fallback = "false", .flags = KEY_MAY_CHANGE,
	 .help = "keep the layers' inputs alone and compute the rest again: less memory, the same "
		 "bits, a third more work"},
	{.name = "train.eval_every", .type = KEY_INT, .commands = TRAIN,
	 .offset = AT(train.eval_every), .fallback = "0", .min = 0, .max = MAX_COUNT,
	 .help = "steps between evaluations on data.eval; 0 = at the end only"},

	{.name = "sft.loss", .type = KEY_CHOICE, .commands = SFT, .offset = AT(sft.loss),
	 .fallback = "\"completion\"", .choices = "completion|all",
	 .help = "what is learnt: completions, or prompts as well"},
	{.name = "classify.freeze", .type = KEY_CHOICE, .commands = CLASSIFY,
	 .offset = AT(classify.freeze), .fallback = "\"none\"",
	 .choices = "none|embeddings|backbone", .min = 1, .max = 65536,
	 .help = "what stays as it is: so many layers and the embeddings, or all but the head"},
	{.name = "reward_train.center_rewards_coefficient", .type = KEY_NUMBER,
	 .commands = REWARD_TRAIN, .offset = AT(reward_train.center_rewards_coefficient),
	 .fallback = "0", .min = 0, .max = MAX_REAL,
	 .help = "times (chosen + rejected score)^2 is added to the loss of a pair; 0 = off"},
	{.name = "dpo.loss_type", .type = KEY_CHOICE, .commands = DPO, .offset = AT(dpo.loss_type),
	 .fallback = "\"sigmoid\"", .choices = "sigmoid|robust|hinge|ipo|kto",
	 .help = "sigmoid is DPO; kto learns from single completions and their label"},
	{.name = "dpo.beta", .type = KEY_NUMBER, .commands = DPO, .offset = AT(dpo.beta),
	 .fallback = "0.1", .min = 0, .max = MAX_REAL, .flags = KEY_ABOVE_MIN,
	 .help = "how much leaving the reference weighs"},
	{.name = "dpo.label_smoothing", .type = KEY_NUMBER, .commands = DPO,
	 .offset = AT(dpo.label_smoothing), .fallback = "0", .min = 0, .max = 0.5,
	 .flags = KEY_BELOW_MAX,
	 .help = "sigmoid (conservative DPO), robust: share of labels taken to be wrong"},
	{.name = "dpo.ipo_length_norm", .type = KEY_BOOL, .commands = DPO,
	 .offset = AT(dpo.ipo_length_norm), .fallback = "true",
	 .help = "ipo: mean log-probability of an id in place of the sum over ids"},
	{.name = "dpo.desirable_weight", .type = KEY_NUMBER, .commands = DPO,
	 .offset = AT(dpo.desirable_weight), .fallback = "1.0", .min = 0, .max = MAX_REAL,
	 .flags = KEY_ABOVE_MIN, .help = "kto: of a completion whose label is true"},
	{.name = "dpo.undesirable_weight", .type = KEY_NUMBER, .commands = DPO,
	 .offset = AT(dpo.undesirable_weight), .fallback = "1.0", .min = 0, .max = MAX_REAL,
	 .flags = KEY_ABOVE_MIN, .help = "kto: of a completion whose label is false"},

	{.name = "schedule.name", .type = KEY_CHOICE, .commands = TRAIN,
	 .offset = AT(schedule.name), .fallback = "\"constant\"",
	 .choices = "constant|linear|cosine", .help = "of the learning rate, down to 0"},
	{.name = "schedule.name", .type = KEY_CHOICE, .commands = PPO,
	 .offset = AT(schedule.name), .fallback = "\"linear\"",
	 .choices = "constant|linear|cosine", .help = "of the learning rate, down to 0"},
	{.name = "schedule.warmup_steps", .type = KEY_INT, .commands = ALL,
	 .offset = AT(schedule.warmup_steps), .fallback = "0", .min = 0, .max = MAX_COUNT,
	 .help = "steps in which the learning rate rises from 0"},

	{.name = "checkpoint.every_steps", .type = KEY_INT, .commands = TRAIN,
	 .offset = AT(checkpoint.every_steps), .fallback = "100", .min = 0, .max = MAX_COUNT,
	 .flags = KEY_MAY_CHANGE, .help = "0 = off; the end is always saved"},
	{.name = "checkpoint.every_steps", .type = KEY_INT, .commands = PPO,
	 .offset = AT(checkpoint.every_steps), .fallback = "10", .min = 0, .max = MAX_COUNT,
	 .flags = KEY_MAY_CHANGE, .help = "0 = off; the end is always saved"},
	{.name = "checkpoint.every_seconds", .type = KEY_NUMBER, .commands = ALL,
	 .offset = AT(checkpoint.every_seconds), .fallback = "600", .min = 0, .max = 1e9,
	 .flags = KEY_MAY_CHANGE, .help = "and when so much time has passed; 0 = off"},
	{.name = "checkpoint.keep", .type = KEY_INT, .commands = ALL,
	 .offset = AT(checkpoint.keep), .fallback = "2", .min = 1, .max = 1e6,
	 .flags = KEY_MAY_CHANGE, .help = "older ones are removed"},
	{.name = "checkpoint.best", .type = KEY_BOOL, .commands = TRAIN,
	 .offset = AT(checkpoint.best), .fallback = "true", .flags = KEY_MAY_CHANGE,
	 .help = "keep the model of the lowest eval/loss as best/, if train.eval_every is set"},
	{.name = "log.every_steps", .type = KEY_INT, .commands = ALL,
	 .offset = AT(log.every_steps), .fallback = "1", .min = 1, .max = MAX_COUNT,
	 .flags = KEY_MAY_CHANGE, .help = "steps between lines of metrics.jsonl"},
};
const size_t n_config_keys = sizeof config_keys / sizeof *config_keys;

#define SOURCE(field) offsetof(struct reward_source, field)
const struct config_key source_keys[] = {
	{.name = "type", .type = KEY_CHOICE, .commands = SOURCE_MODEL | SOURCE_RULE,
	 .offset = SOURCE(type), .choices = "model|rule", .help = "a reward model or a rule"},
	{.name = "path", .type = KEY_TEXT, .commands = SOURCE_MODEL, .offset = SOURCE(path),
	 .help = "checkpoint of the reward model"},
	{.name = "rule", .type = KEY_CHOICE, .commands = SOURCE_RULE, .offset = SOURCE(rule),
	 .choices = "token_count|length", .help = "what is counted in a completion"},
	{.name = "token_id", .type = KEY_INT, .commands = SOURCE_RULE,
	 .offset = SOURCE(token_id), .fallback = "null", .min = 0, .max = 2147483647,
	 .help = "the id that token_count counts"},
	{.name = "weight", .type = KEY_NUMBER, .commands = SOURCE_MODEL | SOURCE_RULE,
	 .offset = SOURCE(weight), .fallback = "1.0", .min = -MAX_REAL, .max = MAX_REAL,
	 .help = "factor of this source in the score"},
	{.name = "pooling", .type = KEY_CHOICE, .commands = SOURCE_MODEL,
	 .offset = SOURCE(pooling), .fallback = "\"last-non-pad\"",
	 .choices = "last-non-pad|last|first-pad|eos",
	 .help = "position whose score counts: as transformers reads it; the last one "
		 "(OpenRLHF); before the first pad of the completion (TRL); the end token"},
	{.name = "weights", .type = KEY_CHOICE, .commands = SOURCE_MODEL,
	 .offset = SOURCE(weights), .fallback = "\"f32\"", .choices = "f32|bf16",
	 .help = "how its weights are held: bf16 rounds them, to half the memory"},
	{.name = "normalise", .type = KEY_BOOL, .commands = SOURCE_MODEL,
	 .offset = SOURCE(normalise), .fallback = "false",
	 .help = "(score - reward_mean) / reward_std of the checkpoint"},
};
const size_t n_source_keys = sizeof source_keys / sizeof *source_keys;
/* clang-format on */

const struct config_key *config_find(const char *name, unsigned commands)
{
	for (size_t i = 0; i < n_config_keys; i++)
		if ((config_keys[i].commands & commands) && strcmp(config_keys[i].name, name) == 0)
			return &config_keys[i];
	return NULL;
}

bool config_is_section(const char *name, unsigned commands)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < n_config_keys; i++) {
		const char *key = config_keys[i].name;

		if ((config_keys[i].commands & commands) && strncmp(key, name, length) == 0 &&
		    key[length] == '.')
			return true;
	}
	return false;
}

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot + 1 : name;
}

/* Whether the section of that name is not what is wrong with the key. */
static bool is_inside(const char *name, const char *section)
{
	size_t n = strlen(section);

	return strncmp(name, section, n) == 0 && name[n] == '.';
}

/* Whether a word is the first letters of a key's words: lr of learning_rate. */
static bool is_initials(const char *word, const char *key)
{
	for (; *word && *word == *key; word++) {
		const char *bar = strchr(key, '_');
		key = bar ? bar + 1 : "";
	}
	return *word == '\0' && *key == '\0';
}

/* A key of the name's own section that the last part of the name abbreviates: lora.lora_alpha
 * for lora.alpha, optimizer.learning_rate for optimizer.lr.  Short words are contained in too
 * much. */
static const char *abbreviated_key(const char *name, unsigned commands)
{
	const char *part = last_part(name);
	size_t n = (size_t)(part - name);
	bool is_long = strlen(part) >= MIN_CONTAINED;

	if (n == 0)
		return NULL;
	for (size_t i = 0; i < n_config_keys; i++) {
		const char *key = config_keys[i].name;

		if ((config_keys[i].commands & commands) && strncmp(key, name, n) == 0 &&
		    (is_initials(part, key + n) || (is_long && strstr(key + n, part))))
			return key;
	}
	return NULL;
}

struct names {
	char **items;
	size_t n;
};

static void add_name(struct names *names, const char *name, size_t length)
{
	names->items = xrealloc(names->items, names->n + 1, sizeof *names->items);
	names->items[names->n++] = xstrndup(name, length);
}

/* A command's keys and behind them the sections that each is in; returns the number of keys. */
static size_t list_names(struct names *names, unsigned commands)
{
	size_t n_keys;

	for (size_t i = 0; i < n_config_keys; i++)
		if (config_keys[i].commands & commands)
			add_name(names, config_keys[i].name, strlen(config_keys[i].name));
	n_keys = names->n;
	for (size_t i = 0; i < n_keys; i++)
		for (const char *key = names->items[i], *dot = strchr(key, '.'); dot;
		     dot = strchr(dot + 1, '.'))
			add_name(names, key, (size_t)(dot - key));
	return n_keys;
}

/* The name whose last part is nearest to that of one in the wrong section. */
static const char *nearest_elsewhere(const char *name, const char *const *names, size_t n)
{
	const char **parts = xcalloc(n, sizeof *parts), *near, *found = NULL;

	for (size_t i = 0; i < n; i++)
		parts[i] = last_part(names[i]);
	near = nearest_word(last_part(name), parts, n);
	for (size_t i = 0; near && !found && i < n; i++)
		found = parts[i] == near ? names[i] : NULL;
	free(parts);
	return found;
}

char *config_nearest(const char *name, unsigned commands)
{
	struct names names = {0};
	size_t n_keys = list_names(&names, commands);
	const char *const *words = (const char *const *)names.items;
	const char *near = abbreviated_key(name, commands);
	char *result;

	if (!near)
		near = nearest_word(name, words, n_keys);
	if (!near)
		near = nearest_word(name, words + n_keys, names.n - n_keys);
	if (!near || is_inside(name, near))
		near = nearest_elsewhere(name, words, names.n);
	result = near ? xstrdup(near) : NULL;
	for (size_t i = 0; i < names.n; i++)
		free(names.items[i]);
	free(names.items);
	return result;
}

static void describe_range(const struct config_key *key, struct buf *out)
{
	if (key->flags & KEY_ABOVE_MIN)
		buf_printf(out, " above %.16g", key->min);
	else if (key->min > -MAX_REAL)
		buf_printf(out, " from %.16g", key->min);
	if (key->flags & KEY_BELOW_MAX)
		buf_printf(out, " to below %.16g", key->max);
	else
		buf_printf(out, " to %.16g", key->max);
}

void config_describe(const struct config_key *key, struct buf *out)
{
	switch (key->type) {
	case KEY_BOOL:
		buf_append_string(out, "true or false");
		break;
	case KEY_INT:
		buf_append_string(out, "an integer");
		describe_range(key, out);
		break;
	case KEY_NUMBER:
		buf_append_string(out, "a number");
		describe_range(key, out);
		break;
	case KEY_TEXT:
		buf_printf(out, "a string of 1 to %d bytes without control characters",
			   MAX_TEXT_BYTES);
		break;
	case KEY_CHOICE:
		buf_append_string(out, "one of");
		for (const char *word = key->choices; *word;) {
			size_t length = strcspn(word, "|");

			buf_printf(out, " \"%.*s\"", (int)length, word);
			word += length + (word[length] == '|');
		}
		if (key->max > 0) {
			buf_append_string(out, ", or an integer");
			describe_range(key, out);
		}
		break;
	case KEY_OBJECT:
		buf_append_string(out, "an object");
		break;
	case KEY_NAMES:
		buf_append_string(out, "a string or a list of strings");
		break;
	case KEY_SOURCES:
		buf_printf(out, "a list of 1 to %d objects", MAX_REWARD_SOURCES);
		break;
	}
	if (key->fallback && strcmp(key->fallback, "null") == 0)
		buf_append_string(out, " or null");
}

const char *config_command_name(enum command command)
{
	switch (command) {
	case COMMAND_PRETRAIN:
		return "pretrain";
	case COMMAND_REWARD_TRAIN:
		return "reward-train";
	case COMMAND_PPO:
		return "ppo";
	case COMMAND_SFT:
		return "sft";
	case COMMAND_DPO:
		return "dpo";
	case COMMAND_CLASSIFY:
		return "classify";
	}
	return "?";
}
