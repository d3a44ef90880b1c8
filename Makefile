# SPDX-License-Identifier: MIT
#
# libbwt: one Makefile for the library, its tools, tests and benchmark. "make help" lists the targets.
#
# Output goes under BUILD, one folder per variant (sanitizer, switched-off dependency):
#   $(O)/o/      objects as released              $(O)/libbwt.a, libbwt.so.0, bwt.pc
#   $(O)/t/      objects with -DBWT_TEST          $(O)/t/libbwt-test.a, all symbols visible
#   $(O)/bin/    bwt-* tools and bwt-bench        $(O)/tests/ test programs
# Sources are found by wildcard; a new file in a layer, a tool or a test needs no change here.

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
BUILD ?= build
# One name for one folder: else what was built by the other name does not know what it depends on.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
PMEM ?= 1
URING ?= 1
LZ4 ?= 1
ZSTD ?= 1
SAN ?=
OBJCOPY ?= objcopy
PKG_CONFIG ?= pkg-config

ifneq ($(filter-out address undefined thread,$(SAN)),)
$(error SAN is address, undefined or thread, not "$(SAN)")
endif
empty :=
variant := $(if $(SAN),san-$(SAN))$(if $(filter 0,$(PMEM)),no-pmem)$(if $(filter 0,$(URING)),no-uring)$(if $(filter 0,$(LZ4)),no-lz4)$(if $(filter 0,$(ZSTD)),no-zstd)
O := $(BUILD)$(if $(variant),/$(variant))

# ---- flags ------------------------------------------------------------------------------------

# The value of $2, computed by the first use of variable $1 and kept: after "deps" has installed.
once = $(eval $1 := $2)$($1)

OPT ?= -O2 -g
WARN := -Wall -Wextra -Wconversion -Wshadow -Wmissing-prototypes -Werror
# TSan does not follow fences and gcc says so for each one; what it says of the rest still counts.
san_address := -fsanitize=address -fno-omit-frame-pointer
san_undefined := -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
san_thread := -fsanitize=thread -fno-omit-frame-pointer $(if $(findstring gcc,$(CC)),-Wno-error=tsan)
SAN_FLAGS := $(san_$(SAN))
USES := $(if $(filter 0,$(PMEM)),,libpmem) $(if $(filter 0,$(URING)),,liburing) \
	$(if $(filter 0,$(LZ4)),,liblz4) $(if $(filter 0,$(ZSTD)),,libzstd)

CPPFLAGS_ALL := -D_GNU_SOURCE -Ilib -I. \
	$(if $(filter 0,$(PMEM)),-DBWT_NO_PMEM) $(if $(filter 0,$(URING)),-DBWT_NO_LIBURING) \
	$(if $(filter 0,$(LZ4)),-DBWT_NO_LZ4) $(if $(filter 0,$(ZSTD)),-DBWT_NO_ZSTD) $(CPPFLAGS)
CFLAGS_ALL := -std=gnu11 $(OPT) -fPIC -fvisibility=hidden -pthread $(SAN_FLAGS) $(WARN) $(CFLAGS)
LDFLAGS_ALL := -pthread $(SAN_FLAGS) $(LDFLAGS)
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(if $(strip $(USES)),$(shell $(PKG_CONFIG) --cflags $(USES))) \
	$(shell printf '\043include <sys/sdt.h>\n' | $(CC) -E -o /dev/null - 2>/dev/null && echo -DBWT_HAVE_SDT))
PKG_LIBS = $(call once,PKG_LIBS,$(if $(strip $(USES)),$(shell $(PKG_CONFIG) --libs $(USES))))
CUNIT_LIBS = $(call once,CUNIT_LIBS,$(shell $(PKG_CONFIG) --libs cunit))

version_part = $(shell sed -n 's/^\#define BWT_VERSION_$1 //p' lib/bwt.h)
MAJOR := $(call version_part,MAJOR)
VERSION := $(MAJOR).$(call version_part,MINOR).$(call version_part,PATCH)

# ---- sources ----------------------------------------------------------------------------------

LAYERS := base sys mem page log tree txn recovery db
src_of = $(wildcard lib/$1/*.c $(if $(filter recovery,$1),recovery/*.c))
up_to = $(if $(filter $1,$(firstword $2)),$1,$(firstword $2) $(call up_to,$1,$(wordlist 2,$(words $2),$2)))

LIB_SRC := $(foreach l,$(LAYERS),$(call src_of,$l))
LIB_HDR := $(wildcard lib/*.h lib/*/*.h recovery/*.h)
LIB_OBJ := $(LIB_SRC:%.c=$(O)/o/%.o)
TEST_LIB_OBJ := $(LIB_SRC:%.c=$(O)/t/%.o)

TOOL_SRC := $(wildcard tools/bwt-*.c)
TOOL_SHARED_OBJ := $(patsubst %.c,$(O)/o/%.o,$(wildcard tools/tool_*.c))
# Tool bwt-x is linked with tools/x_*.c too. The public interface is enough for all but these.
INSIDE_TOOLS := bwt-dump bwt-fsck
own_obj = $(patsubst %.c,$(O)/o/%.o,$(wildcard tools/$(patsubst bwt-%,%,$(@F))_*.c))
TOOLS := $(TOOL_SRC:tools/%.c=$(O)/bin/%)

# A test program is tests/unit/<layer>/test_*.c or tests/<kind>/<kind>_*.c; other .c files of the
# same folder are linked into each program there, tests/support into all.
KINDS := model stress crash protocol txn
SUPPORT_OBJ := $(patsubst %.c,$(O)/t/%.o,$(wildcard tests/support/*.c) tools/torture_trail.c)
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
KIND_SRC := $(foreach k,$(KINDS),$(wildcard tests/$k/$k_*.c))
# (named functions, as a % written in a static pattern rule would be replaced by the stem)
folder_of = $(patsubst $(O)/%,%,$(@D))
below = $(patsubst %.c,$(O)/t/%.o,$(foreach l,$(call up_to,$(notdir $(@D)),$(LAYERS)),$(call src_of,$l)))
beside = $(patsubst %.c,$(O)/t/%.o,$(filter-out $1/$2_%.c,$(wildcard $1/*.c)))
UNIT_TESTS := $(UNIT_SRC:%.c=$(O)/%)
KIND_TESTS := $(KIND_SRC:%.c=$(O)/%)
TOOL_TESTS := $(wildcard tests/tools/tool_*.sh)
FAULT_TESTS := $(wildcard tests/faults/faults_*.sh)
TEST_SRC := $(UNIT_SRC) $(KIND_SRC) $(wildcard tests/support/*.c) \
	$(foreach k,$(KINDS),$(filter-out tests/$k/$k_%.c,$(wildcard tests/$k/*.c)))

LINT_FILES := $(LIB_SRC) -- $(LIB_HDR) -- $(wildcard tools/*.[ch] bench/*.[ch]) $(TEST_SRC) \
	$(wildcard tests/faults/*.c tests/*/*.h tests/unit/*/*.h)

FUZZ_SECONDS ?= 3600
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_TARGETS := $(FUZZ_SRC:%.c=$(O)/%)

STATIC := $(O)/libbwt.a
SONAME := libbwt.so.$(MAJOR)
SHARED := $(O)/libbwt.so.$(VERSION)

# ---- targets ----------------------------------------------------------------------------------

.PHONY: fuzz fuzz-run all lib tools tests check soak faults lint format bench demo deps install uninstall deb deb-bare dist clean help
.PHONY: deps-core deps-check deps-faults deps-bench deps-demo deps-deb deps-nvdimm check-layers check-headers list-tests print-O FORCE
.DELETE_ON_ERROR:
.SECONDEXPANSION:
.SECONDARY:
.SUFFIXES:

all: lib tools ## static and shared library, bwt.pc, tools, bwt-bench

lib: $(STATIC) $(SHARED) $(O)/bwt.pc ## the library alone

tools: $(TOOLS) ## the bwt-* command-line tools

tests: $(UNIT_TESTS) $(KIND_TESTS) tools ## build all test programs, run none

check: | deps-check ## build and run every test, SAN=address|undefined|thread: all of them in that build
	+@CC="$(CC)" CXX="$(CXX)" MAKE="$(MAKE)" BUILD="$(BUILD)" O="$(O)" SAN="$(SAN)" PMEM="$(PMEM)" URING="$(URING)" LZ4="$(LZ4)" ZSTD="$(ZSTD)" tests/check.sh

soak: | deps-check ## the tests that run threads, crashes and searches, LONG seconds each (300); SAN= too
	+@CC="$(CC)" CXX="$(CXX)" MAKE="$(MAKE)" BUILD="$(BUILD)" O="$(O)" SAN="$(SAN)" PMEM="$(PMEM)" URING="$(URING)" LZ4="$(LZ4)" ZSTD="$(ZSTD)" SOAK=1 tests/check.sh

faults: | deps-faults ## crashes, failing devices and full disks on real file systems; as root, else in part
	+@CC="$(CC)" CXX="$(CXX)" MAKE="$(MAKE)" BUILD="$(BUILD)" O="$(O)" SAN="$(SAN)" PMEM="$(PMEM)" URING="$(URING)" LZ4="$(LZ4)" ZSTD="$(ZSTD)" FAULTS_LONG=1 tests/check.sh

lint: check-layers check-headers | deps-check ## formatting, clang-tidy, cppcheck, layers, headers
	@CPPFLAGS="$(CPPFLAGS_ALL)" tests/lint.sh $(LINT_FILES)

check-layers: ## each layer includes itself and lower ones only
	@awk -v layers="$(LAYERS)" -f tests/check-layers.awk $(wildcard lib/*/*.[ch] recovery/*.[ch])

check-headers: ## every header compiles alone, bwt.h as C and as C++
	@CC="$(CC)" CXX="$(CXX)" CPPFLAGS="$(CPPFLAGS_ALL)" tests/check-headers.sh $(LIB_HDR)

deps: deps-core deps-check deps-faults deps-bench deps-demo ## install what is missing (apt-get, as root or by sudo)

deps-core deps-check deps-faults deps-bench deps-demo deps-deb deps-nvdimm: deps-%:
	@tools/deps.sh $* $(if $(filter 0,$(PMEM)),no-pmem) $(if $(filter 0,$(URING)),no-uring) \
		$(if $(filter 0,$(LZ4)),no-lz4) $(if $(filter 0,$(ZSTD)),no-zstd)

demo: all | deps-demo ## the main job on real data, told step by step
	@PATH="$(abspath $(O))/bin:$$PATH" tools/demo.sh

format: | deps-check ## rewrite all sources as .clang-format says
	@FORMAT=fix tests/lint.sh $(LINT_FILES)

print-O:
	@echo $(O)

list-tests:
	@printf '%s\n' $(UNIT_TESTS) $(KIND_TESTS) $(TOOL_TESTS) $(FAULT_TESTS)

fuzz: | deps-check ## every reader of bytes under libFuzzer, FUZZ_SECONDS (3600) each; needs clang
	+@$(MAKE) --no-print-directory CC=clang SAN=address BUILD=$(BUILD)/fuzz CFLAGS=-fsanitize=fuzzer-no-link fuzz-run

fuzz-run: $(FUZZ_TARGETS)
	@tests/fuzz/fuzz.sh $(O)/tests/fuzz $(FUZZ_SECONDS)

clean: ## remove everything built, all variants
	rm -rf $(BUILD)

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(filter %Makefile %.inc,$(MAKEFILE_LIST))
	@echo
	@echo "  BUILD=dir  output folder (build)          SAN=address|undefined|thread  sanitizer build"
	@echo "  CC=clang   another compiler               PMEM=0, URING=0, LZ4=0, ZSTD=0  without that library"
	@echo "  PREFIX=, LIBDIR=, DESTDIR=  for install   OPT=\"-O0 -g\"  other optimisation"

# ---- rules ------------------------------------------------------------------------------------

# Test objects are compiled without sibling calls: the simulator tells call sites by return addresses.
# Objects depend on this file, which changes when compiler or flags do, or when there are probes now: no mixed builds.
FLAGS_TEXT = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(PKG_CFLAGS)
$(O)/flags: FORCE | deps-core
	@mkdir -p $(@D); echo '$(FLAGS_TEXT)' | cmp -s - $@ || echo '$(FLAGS_TEXT)' > $@

$(O)/o/%.o: %.c $(O)/flags | deps-core
	@mkdir -p $(@D)
	@echo "CC  $<"
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/t/%.o: %.c $(O)/flags | deps-core
	@mkdir -p $(@D)
	@echo "CC  $< (test)"
	@$(CC) $(CPPFLAGS_ALL) -DBWT_TEST $(CFLAGS_ALL) -fno-optimize-sibling-calls $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

# Only bwt_* stays global in the archive: internal names cannot meet those of a program.
$(STATIC): $(LIB_OBJ)
	@echo "AR  $@"
	@$(LD) -r -o $(O)/libbwt.o $^ && $(OBJCOPY) --localize-hidden $(O)/libbwt.o
	@rm -f $@ && $(AR) rcs $@ $(O)/libbwt.o

$(SHARED): $(LIB_OBJ) lib/bwt.map
	@echo "LD  $@"
	@$(CC) $(LDFLAGS_ALL) -shared -Wl,-z,nodelete $(if $(SAN),,-Wl,-z,defs) -Wl,-soname,$(SONAME) \
		-Wl,--version-script=lib/bwt.map -o $@ $(LIB_OBJ) $(PKG_LIBS)
	@ln -sf $(notdir $@) $(O)/$(SONAME) && ln -sf $(SONAME) $(O)/libbwt.so

$(O)/bwt.pc: lib/bwt.h Makefile
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' \
		'Name: bwt' 'Description: embedded, ordered, transactional key-value store (a persistent Bw-tree)' \
		'Version: $(VERSION)' 'Libs: -L$${libdir} -lbwt' 'Libs.private: -pthread' \
		'Requires.private: $(strip $(USES))' 'Cflags: -I$${includedir}' > $@

$(O)/o/libbwt-internal.a: $(LIB_OBJ)
	@rm -f $@ && $(AR) rcs $@ $^

$(TOOLS): $(O)/bin/%: $(O)/o/tools/%.o $(TOOL_SHARED_OBJ) $$(own_obj) \
		$$(if $$(filter $$(INSIDE_TOOLS),$$(@F)),$(O)/o/libbwt-internal.a,$(STATIC))
	@mkdir -p $(@D)
	@echo "LD  $@"
	@$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(O)/t/libbwt-test.a: $(TEST_LIB_OBJ)
	@rm -f $@ && $(AR) rcs $@ $^

$(O)/t/libsupport.a: $(SUPPORT_OBJ)
	@rm -f $@ && $(AR) rcs $@ $^

# A unit test sees its own layer and lower ones: a call upwards does not link.
$(UNIT_TESTS): $(O)/%: $(O)/t/%.o $$(call beside,$$(folder_of),test) $$(below) $(O)/t/libsupport.a
	@mkdir -p $(@D)
	@echo "LD  $@"
	@$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) $(CUNIT_LIBS)

$(KIND_TESTS): $(O)/%: $(O)/t/%.o $$(call beside,$$(folder_of),$$(notdir $$(@D))) \
		$(O)/t/libsupport.a $(O)/t/libbwt-test.a
	@mkdir -p $(@D)
	@echo "LD  $@"
	@$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) $(CUNIT_LIBS) -lm

$(FUZZ_TARGETS): $(O)/%: $(O)/t/%.o $(O)/t/tests/fuzz/support.o $(O)/t/tools/tool_text.o $(O)/t/libbwt-test.a
	@mkdir -p $(@D)
	@echo "LD  $@"
	@$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)

# bench/Makefile.inc, where present, adds $(O)/bin/bwt-bench to "all" and defines the target "bench".
-include bench/Makefile.inc

# The schedule simulator: a build of the library of its own, tests/sched/sched_*, the target "sched".
include tests/sched/Makefile.inc

# The crash simulator: tests/sim/sim_*, the target "sim".
include tests/sim/Makefile.inc

# A machine with emulated persistent memory: the target "nvdimm".
include tests/nvdimm/Makefile.inc

install: all ## into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/bin
	install -m 644 lib/bwt.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(STATIC) $(DESTDIR)$(LIBDIR)/
	install -m 755 $(SHARED) $(DESTDIR)$(LIBDIR)/
	ln -sf $(notdir $(SHARED)) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libbwt.so
	sed 's,^prefix=.*,prefix=$(PREFIX),; s,^libdir=.*,libdir=$(LIBDIR:$(PREFIX)/%=$${prefix}/%),' $(O)/bwt.pc > $(DESTDIR)$(LIBDIR)/pkgconfig/bwt.pc
	install -m 755 $(INSTALL_BIN) $(DESTDIR)$(PREFIX)/bin/
	for page in $(MAN_PAGES); do \
		install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit 1; done
	for link in $(MAN_LINKS); do \
		echo ".so man3/$${link#*=}" > $(DESTDIR)$(PREFIX)/share/man/man3/$${link%=*} || exit 1; done
	install -d $(DESTDIR)$(PREFIX)/share/doc/bwt/examples $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 644 README.md CHANGELOG.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/bwt/
	install -m 644 $(EXAMPLES) $(wildcard tools/*.bt) $(DESTDIR)$(PREFIX)/share/doc/bwt/examples/
	install -m 644 tools/bash-completion $(DESTDIR)$(PREFIX)/share/bash-completion/completions/bwt
	for tool in $(notdir $(INSTALL_BIN)); do \
		ln -sf bwt $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$tool || exit 1; done

uninstall: ## what install put there
	rm -f $(DESTDIR)$(PREFIX)/include/bwt.h $(DESTDIR)$(LIBDIR)/libbwt.a \
		$(addprefix $(DESTDIR)$(LIBDIR)/,libbwt.so $(SONAME) $(notdir $(SHARED)) pkgconfig/bwt.pc) \
		$(addprefix $(DESTDIR)$(PREFIX)/bin/,$(notdir $(INSTALL_BIN))) \
		$(foreach p,$(MAN_PAGES),$(DESTDIR)$(PREFIX)/share/man/man$(lastword $(subst ., ,$p))/$(notdir $p)) \
		$(foreach l,$(MAN_LINKS),$(DESTDIR)$(PREFIX)/share/man/man3/$(firstword $(subst =, ,$l))) \
		$(addprefix $(DESTDIR)$(PREFIX)/share/bash-completion/completions/,bwt $(notdir $(INSTALL_BIN)))
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/bwt

deb: | deps-deb ## Debian packages of what is committed, into build/deb, installed in a folder and used from there
	@debian/check.sh $(abspath $(BUILD))/deb

deb-bare: deb ## those packages installed by apt-get in a bare debootstrap root, and a first hour with them (as root)
	@debian/bare.sh $(abspath $(BUILD))/deb

dist: ## build/bwt-VERSION.tar.gz of what is committed, the same bytes each time
	@mkdir -p $(BUILD)
	@git archive --format=tar --prefix=bwt-$(VERSION)/ HEAD | gzip -n9 > $(BUILD)/bwt-$(VERSION).tar.gz
	@echo $(BUILD)/bwt-$(VERSION).tar.gz

INSTALL_BIN := $(filter-out $(O)/bin/bwt-demo,$(TOOLS)) $(BENCH_BIN)
MAN_PAGES := $(wildcard man/*.[1-9])
EXAMPLES := $(wildcard man/examples/*.c)
# NAME.3=PAGE.3 for each function that is described on the page of another.
MAN_LINKS = $(call once,MAN_LINKS,$(shell awk '/^\.Nm bwt_/ { page = FILENAME; sub(/.*\//, "", page); \
	if ($$2 ".3" != page && !seen[$$2]++) print $$2 ".3=" page }' man/*.3))

-include $(patsubst %.o,%.d,$(LIB_OBJ) $(TEST_LIB_OBJ) $(SUPPORT_OBJ) $(TOOL_SHARED_OBJ)) \
	$(patsubst %.c,$(O)/o/%.d,$(wildcard tools/*.c)) \
	$(patsubst %.c,$(O)/t/%.d,$(wildcard tests/*/*.c tests/unit/*/*.c))
