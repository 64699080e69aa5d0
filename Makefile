# rlhf: one program, one non-recursive Makefile.
#
#   make                     build/rlhf
#   make test                unit, MPI and end-to-end tests (under 3 minutes)
#   make check               lint: layers, headers, doors, words, shell scripts
#   make MODE=asan test      the same tests with address and undefined sanitizers
#   make COMPILER=clang      another compiler behind mpicc
#   make fuzz                look for inputs that crash the parsers, a minute for each
#   make help                all targets

# --- knobs ---
MODE     ?= release
COMPILER ?= gcc
BUILD    ?= build
CC       := mpicc
export OMPI_CC  := $(COMPILER)
export MPICH_CC := $(COMPILER)

# Commands are shown with V=1.
Q := $(if $(V),,@)

# --- flags ---
WARNINGS := -Wall -Wextra -Werror -Wformat-security -Wmissing-prototypes -Wold-style-definition \
            -Woverflow -Wpointer-arith -Wstrict-prototypes -Wunused -Wvla -Wwrite-strings -Wshadow -Wno-psabi
CPPFLAGS += -I. -D_GNU_SOURCE
CFLAGS   += -std=c17 -g -pthread -fno-math-errno -ffp-contract=off $(WARNINGS)
LDLIBS   += -lcjson -luuid -lz -lpcre2-8 -lutf8proc -lm -ldl
LDFLAGS  += -pthread -rdynamic
ifeq ($(MODE),release)
CFLAGS   += -O3 -DNDEBUG
else ifeq ($(MODE),debug)
CFLAGS   += -O1
else ifeq ($(MODE),asan)
CFLAGS   += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS  += -fsanitize=address,undefined
else ifeq ($(MODE),fuzz) # with COMPILER=clang; make fuzz sets both
CFLAGS   += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link \
            -fno-sanitize-recover=all
LDFLAGS  += -fsanitize=address,undefined
else
$(error MODE is $(MODE), expected release, debug, asan or fuzz)
endif
O := $(BUILD)/$(MODE)-$(COMPILER)

# --- sources, by layer from the bottom up ---
LAYERS  := common/base common/ops common/text common/run common/model proto actor reward learner
KERNELS := $(wildcard common/ops/*_kernel.c)
sources  = $(filter-out $(KERNELS),$(wildcard $(1)/*.c))
objects  = $(patsubst %.c,$(O)/%.o,$(call sources,$(1)))
ARCH    := $(shell uname -m)
LEVELS  := portable
ifeq ($(ARCH),x86_64)
LEVELS  += avx2 avx512
endif
KERNEL_OBJECTS := $(foreach level,$(LEVELS),$(patsubst %.c,$(O)/%_$(level).o,$(KERNELS)))
# The kernels read no input, and take minutes to instrument; clang unrolls them from -O2 on.
ifeq ($(MODE),fuzz)
$(KERNEL_OBJECTS): CFLAGS := $(filter-out -fsanitize=% -O1,$(CFLAGS)) -O3
endif
archive  = $(O)/lib$(subst /,_,$(1)).a
ARCHIVES := $(foreach layer,$(LAYERS),$(call archive,$(layer)))
# What a layer's unit tests may link: itself and what it may include.
LINK_common/base  := common/base
LINK_common/ops   := common/ops common/base
LINK_common/text  := common/text common/base
LINK_common/run   := common/run common/base
LINK_common/model := common/model common/ops common/base
LINK_proto        := proto common/ops common/base
LINK_actor        := actor proto common/model common/run common/text common/ops common/base
LINK_reward       := reward proto common/model common/run common/text common/ops common/base
LINK_learner      := learner proto common/model common/run common/text common/ops common/base

.PHONY: all test check bench scaling soak test-cluster fuzz format clean help FORCE
.DELETE_ON_ERROR:
# Objects that a rule of patterns made are kept.
.PRECIOUS: $(O)/%.o $(O)/%_portable.o $(O)/%_avx2.o $(O)/%_avx512.o
all: $(BUILD)/rlhf

# --- objects and archives ---
$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC $(@:$(O)/%=%)')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(O)/%_portable.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC $(@:$(O)/%=%)')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -DKERNEL_LEVEL=0 -MMD -MP -c -o $@ $<
$(O)/%_avx2.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC $(@:$(O)/%=%)')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -DKERNEL_LEVEL=1 -mavx2 -mfma -MMD -MP -c -o $@ $<
$(O)/%_avx512.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC $(@:$(O)/%=%)')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -DKERNEL_LEVEL=2 -mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma \
		-mprefer-vector-width=512 -MMD -MP -c -o $@ $<
define layer_archive
$(call archive,$(1)): $(call objects,$(1)) $(if $(filter common/ops,$(1)),$(KERNEL_OBJECTS))
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach layer,$(LAYERS),$(eval $(call layer_archive,$(layer))))
# The archives of a list of layers, upper layers first, as the linker wants them.
reverse = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
UPPER_FIRST := $(foreach layer,$(call reverse,$(LAYERS)),$(call archive,$(layer)))

# --- the program ---
MAIN := $(call objects,deploy)
$(O)/rlhf: $(MAIN) $(ARCHIVES)
	$(if $(V),,@echo '  LD $(@:$(O)/%=%)')
	$(Q)$(CC) $(LDFLAGS) -o $@ $(MAIN) $(UPPER_FIRST) $(LDLIBS)
# The program of the mode and compiler that were asked for last, whichever is older.
$(BUILD)/rlhf: $(O)/rlhf FORCE
	@cmp -s $< $@ || cp -f $< $@
FORCE:

# --- tests ---
UNIT_SOURCES := $(foreach layer,$(LAYERS),$(wildcard tests/unit/$(layer)/test_*.c))
UNIT_TESTS   := $(UNIT_SOURCES:%.c=$(O)/%)
MPI_TESTS    := $(patsubst %.c,$(O)/%,$(wildcard tests/mpi/test_*.c))
FUZZ_TESTS   := $(patsubst %.c,$(O)/%,$(wildcard tests/fuzz/fuzz_*.c))
E2E_TOOLS    := $(patsubst %.c,$(O)/%,$(wildcard tests/e2e/*.c))
BENCHES      := $(patsubst %.c,$(O)/%,$(wildcard tests/bench/*.c))
MEASURE      := $(O)/tests/scaling/measure
define unit_test
$(O)/tests/unit/$(1)/%: $(O)/tests/unit/$(1)/%.o $(foreach l,$(LINK_$(1)),$(call archive,$(l)))
	$$(if $$(V),,@echo '  LD $$(@:$$(O)/%=%)')
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ -lcmocka $$(LDLIBS)
endef
$(foreach layer,$(LAYERS),$(eval $(call unit_test,$(layer))))
$(O)/tests/mpi/%: $(O)/tests/mpi/%.o $(ARCHIVES)
	$(if $(V),,@echo '  LD $(@:$(O)/%=%)')
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(UPPER_FIRST) -lcmocka $(LDLIBS)
$(O)/tests/e2e/%: $(O)/tests/e2e/%.o $(ARCHIVES)
	$(if $(V),,@echo '  LD $(@:$(O)/%=%)')
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(UPPER_FIRST) $(LDLIBS)
# The main of a fuzz target: one that runs files, or clang's search for new ones.
FUZZ_MAIN := $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer,$(O)/tests/fuzz/replay.o)
$(O)/tests/fuzz/%: $(O)/tests/fuzz/%.o $(filter %.o,$(FUZZ_MAIN)) $(ARCHIVES)
	$(if $(V),,@echo '  LD $(@:$(O)/%=%)')
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(FUZZ_MAIN) $(UPPER_FIRST) $(LDLIBS)
$(O)/tests/bench/%: $(O)/tests/bench/%.o $(ARCHIVES)
	$(if $(V),,@echo '  LD $(@:$(O)/%=%)')
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(UPPER_FIRST) $(LDLIBS)

$(MEASURE): $(O)/%: $(O)/%.o $(ARCHIVES)
	$(if $(V),,@echo '  LD $(@:$(O)/%=%)')
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(UPPER_FIRST) $(LDLIBS)

# make unit-common/ops: the unit tests of one layer alone.
$(addprefix unit-,$(LAYERS)): unit-%:
	@$(MAKE) --no-print-directory $(patsubst %.c,$(O)/%,$(wildcard tests/unit/$*/test_*.c))
	@tests/run.sh $(O) unit $*
test: $(O)/rlhf $(UNIT_TESTS) $(MPI_TESTS) $(FUZZ_TESTS) $(E2E_TOOLS)
	@tests/run.sh $(O) all
soak: $(O)/rlhf $(E2E_TOOLS)
	@tests/run.sh $(O) soak
test-cluster: $(BUILD)/rlhf
	@tests/cluster/test_slurm.sh $(abspath $(BUILD)/rlhf)
# make fuzz [FUZZ_SECONDS=60] [TARGETS="config json"]: search for inputs that crash, with clang.
FUZZ_SECONDS ?= 60
ifeq ($(MODE),fuzz)
fuzz: $(FUZZ_TESTS)
	@tests/fuzz/run.sh $(O) $(FUZZ_SECONDS) $(TARGETS)
else
fuzz:
	@$(MAKE) --no-print-directory MODE=fuzz COMPILER=clang fuzz
endif
bench: $(BUILD)/rlhf $(BENCHES) $(MEASURE)
	@tests/bench/run.sh $(O)
scaling: $(MEASURE)
	@tests/scaling/run.sh $(O) $(RANKS)
check:
	@tests/lint/run.sh
format:
	@clang-format -i $$(git ls-files '*.c' '*.h')
clean:
	rm -rf $(BUILD)
help:
	@sed -n 's/^#   //p' Makefile
	@echo 'also: make bench, make scaling, make soak, make test-cluster, make unit-LAYER, make format, make clean'

-include $(shell find $(O) -name '*.d' 2>/dev/null)
